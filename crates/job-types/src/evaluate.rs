//! Checks parameters against a schema and runs a program that builds work from them. It has no
//! bounds of time or memory, so it runs only in a child process.

use std::collections::BTreeMap;

use jaq_core::{
    Compiler, Ctx, Vars, data,
    load::{self, Arena, File, Loader},
    unwrap_valr,
};
use jaq_json::{Val, read};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

/// The most faults of parameters in an answer.
const TOLD: usize = 20;
/// The most bytes of a library's text in an answer.
const TEXT: usize = 1000;

/// The work of a child process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The schema of parameters.
    pub schema: Json,
    /// The program.
    pub program: String,
    /// The input of the program. Without one, only schema and program are checked.
    pub input: Option<Input>,
}

/// What a program sees.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Input {
    /// The parameters, as the client sent them.
    pub parameters: Json,
    /// The values of the configuration.
    pub configuration: BTreeMap<String, String>,
    /// The constants.
    pub constants: Map<String, Json>,
    /// The partition of the job.
    pub partition: String,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// The schema is not a JSON Schema.
    #[error("its parameters are no JSON Schema: {0}")]
    Schema(String),
    /// The program cannot be compiled.
    #[error("its program is wrong: {0}")]
    Program(String),
    /// Parameters do not match the schema: JSON pointers, and clauses that say why.
    #[error("parameters do not fit the schema")]
    Parameters(Vec<(String, String)>),
    /// The program gave no object.
    #[error("its program failed: {0}")]
    Output(String),
    /// It took too long, or too much memory.
    #[error("its program takes too much time or memory")]
    TooMuch,
    /// It could not be run.
    #[error("its program could not be run")]
    Unavailable,
}

fn cut(text: impl std::fmt::Display) -> String {
    let mut text = text.to_string();
    if text.len() > TEXT {
        let end = (0..=TEXT).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

impl Job {
    /// Does the work. Returns the object that the program made, or null without an input.
    ///
    /// # Errors
    /// What is wrong.
    pub fn run(&self) -> Result<Json, Fault> {
        let schema = jsonschema::draft202012::new(&self.schema);
        let schema = schema.map_err(|error| Fault::Schema(cut(error)))?;
        let Some(input) = &self.input else {
            self.build(None)?;
            return Ok(Json::Null);
        };
        let faults = schema.iter_errors(&input.parameters).take(TOLD);
        let faults: Vec<_> = faults
            .map(|fault| (fault.instance_path().to_string(), cut(&fault)))
            .collect();
        if !faults.is_empty() {
            return Err(Fault::Parameters(faults));
        }
        self.build(Some(input))
    }

    /// Compiles the program, and runs it if there is an input.
    fn build(&self, input: Option<&Input>) -> Result<Json, Fault> {
        let defs = jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs());
        let funs = jaq_core::funs()
            .chain(jaq_std::funs())
            .chain(jaq_json::funs());
        let arena = Arena::default();
        let file = File {
            code: self.program.as_str(),
            path: (),
        };
        let modules = Loader::new(defs).load(&arena, file);
        let modules = modules.map_err(|errors| Fault::Program(cut(loading(&errors))))?;
        let filter = Compiler::default().with_funs(funs).compile(modules);
        let filter = filter.map_err(|errors| Fault::Program(cut(compiling(&errors))))?;
        let Some(input) = input else {
            return Ok(Json::Null);
        };
        let text = json!(input).to_string();
        let input = read::parse_single(text.as_bytes());
        let input = input.map_err(|error| Fault::Output(cut(format!("{error:?}"))))?;
        let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
        let mut outputs = filter.id.run((context, input)).map(unwrap_valr);
        let first = outputs.next();
        let first = first.ok_or_else(|| Fault::Output("it gave nothing".to_owned()))?;
        let first = first.map_err(|error| Fault::Output(cut(error)))?;
        if outputs.next().is_some() {
            return Err(Fault::Output("it gave more than one value".to_owned()));
        }
        match serde_json::from_str(&first.to_string()) {
            Ok(Json::Object(object)) => Ok(Json::Object(object)),
            Ok(_) | Err(_) => Err(Fault::Output(cut(format!(
                "it gave no object, but {first}"
            )))),
        }
    }
}

fn at(expected: &str, found: &str) -> String {
    let found: String = found.chars().take(40).collect();
    match found.is_empty() {
        true => format!("it ends where {expected} is expected"),
        false => format!("{expected} is expected before {found:?}"),
    }
}

fn loading(errors: &load::Errors<&str, ()>) -> String {
    let all = errors.iter().flat_map(|(_, error)| match error {
        load::Error::Io(errors) => errors
            .iter()
            .map(|(_, why)| why.clone())
            .collect::<Vec<_>>(),
        load::Error::Lex(errors) => errors
            .iter()
            .map(|(e, found)| at(e.as_str(), found))
            .collect(),
        load::Error::Parse(errors) => errors
            .iter()
            .map(|(e, found)| at(e.as_str(), found))
            .collect(),
    });
    all.collect::<Vec<_>>().join("; ")
}

fn compiling(errors: &jaq_core::compile::Errors<&str, ()>) -> String {
    let all = errors.iter().flat_map(|(_, errors)| errors.iter());
    let all = all.map(|(name, what)| format!("{} {name} is not defined", what.as_str()));
    all.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(schema: Json, program: &str, parameters: Json) -> Job {
        Job {
            schema,
            program: program.to_owned(),
            input: Some(Input {
                parameters,
                configuration: [("pipe".to_owned(), "export".to_owned())].into(),
                partition: "p".to_owned(),
                ..Input::default()
            }),
        }
    }

    #[test]
    fn a_program_builds_work() {
        let program = "{task: {pipe: .configuration.pipe, payload: (.parameters | tojson | @base64), type: .partition}}";
        let built = job(json!(true), program, json!({"id": 7})).run().unwrap();
        let task = json!({"pipe": "export", "payload": "eyJpZCI6N30=", "type": "p"});
        assert_eq!(built, json!({"task": task}));
    }

    #[test]
    fn parameters_are_told_by_pointer() {
        let schema = json!({
            "type": "object",
            "required": ["root"],
            "properties": {"ids": {"type": "array", "items": {"type": "integer"}}},
            "unevaluatedProperties": false,
        });
        let fault = job(schema, "{}", json!({"ids": [1, "two"], "more": 1})).run();
        let Err(Fault::Parameters(faults)) = fault else {
            panic!("{fault:?}")
        };
        let pointers: Vec<_> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert!(
            pointers.contains(&"/ids/1") && pointers.contains(&""),
            "{faults:?}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_definition_is_told() {
        let check = |schema: Json, program: &str| {
            Job {
                schema,
                program: program.to_owned(),
                input: None,
            }
            .run()
        };
        assert_eq!(check(json!({}), "{a: .b}"), Ok(Json::Null));
        for (schema, program, why) in [
            (json!({"type": 5}), ".", "no JSON Schema"),
            (json!(7), ".", "no JSON Schema"),
            (
                json!({"$ref": "https://example.org/x"}),
                ".",
                "no JSON Schema",
            ),
            (json!({}), "{a: ", "its program is wrong"),
            (json!({}), ".a | nosuch(1)", "nosuch"),
            (json!({}), "$ENV.HOME | $x", "is not defined"),
        ] {
            let fault = check(schema, program).expect_err(program);
            assert!(fault.to_string().contains(why), "{program}: {fault}");
        }
    }

    #[test]
    fn programs_that_give_no_object_fail() {
        for (program, why) in [
            ("empty", "nothing"),
            ("{}, {}", "more than one"),
            ("5", "no object"),
            ("error(\"no such root\")", "no such root"),
            (".parameters + 1", ""),
        ] {
            let fault = job(json!(true), program, json!({"a": 1}))
                .run()
                .expect_err(program);
            let Fault::Output(text) = &fault else {
                panic!("{fault:?}")
            };
            assert!(text.contains(why), "{program}: {fault}");
        }
    }
}
