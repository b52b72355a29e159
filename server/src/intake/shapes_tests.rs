//! What messages cost.

use headway::v1;
use proptest::prelude::*;
use prost::Message;

use super::*;

const BATCH: &str = "/headway.v1.JobService/BatchCreateJobs";

fn cost(message: &[u8], most: usize) -> Result<usize, Unfit> {
    let shapes = Shapes::of_contract().unwrap();
    let shape = shapes.request(BATCH).unwrap();
    shapes.cost(shape, message, most)
}

fn jobs(count: usize) -> Vec<u8> {
    let jobs = vec![v1::BatchCreateJobsEntry::default(); count];
    let parent = String::new();
    v1::BatchCreateJobsRequest {
        parent,
        jobs,
        ..v1::BatchCreateJobsRequest::default()
    }
    .encode_to_vec()
}

#[test]
fn empty_entries_cost_what_they_take_in_memory() {
    let entry = std::mem::size_of::<v1::BatchCreateJobsEntry>();
    let thousand = cost(&jobs(1000), usize::MAX).unwrap();
    assert!(thousand >= 1000 * entry, "{thousand} for {entry} each");
    assert!(thousand <= 6000 * entry, "{thousand} for {entry} each");
    assert!(thousand <= 8 << 20, "as many as are allowed must fit");
    assert_eq!(cost(&jobs(2_000_000), 8 << 20), Err(Unfit::TooCostly));
}

#[test]
fn estimates_are_not_below_the_size_of_any_list_entry() {
    let value = std::mem::size_of::<prost_types::Value>();
    let list = prost_types::ListValue {
        values: vec![prost_types::Value { kind: None }; 10_000],
    };
    let kind = Some(prost_types::value::Kind::ListValue(list));
    let json = v1::batch_spec::Definition::Json(prost_types::Value { kind });
    let batch = v1::BatchSpec {
        definition: Some(json),
        ..v1::BatchSpec::default()
    };
    let spec = v1::JobSpec {
        work: Some(v1::job_spec::Work::Batch(batch)),
        ..v1::JobSpec::default()
    };
    let entry = v1::BatchCreateJobsEntry {
        spec: Some(spec),
        ..v1::BatchCreateJobsEntry::default()
    };
    let parent = String::new();
    let request = v1::BatchCreateJobsRequest {
        parent,
        jobs: vec![entry],
        ..v1::BatchCreateJobsRequest::default()
    };
    let cost = cost(&request.encode_to_vec(), usize::MAX).unwrap();
    assert!(cost >= 10_000 * value, "{cost}");
}

#[test]
fn what_is_no_message_is_malformed() {
    for bad in [
        &[0x12, 0xff][..],
        &[0x12],
        &[0x13],
        &[0x80; 11],
        &[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0,
        ],
        &[
            0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ],
    ] {
        assert_eq!(cost(bad, usize::MAX), Err(Unfit::Malformed), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = cost(&bytes, 10_000);
    }
}

/// A request for jobs whose parameters have these texts.
fn parameterized(texts: &[&str]) -> Vec<u8> {
    let entries = texts.iter().map(|text| {
        let text = v1::batch_spec::ParametersForm::ParametersJsonText((*text).to_owned());
        let batch = v1::BatchSpec {
            parameters_form: Some(text),
            ..v1::BatchSpec::default()
        };
        let spec = v1::JobSpec {
            work: Some(v1::job_spec::Work::Batch(batch)),
            ..v1::JobSpec::default()
        };
        v1::BatchCreateJobsEntry {
            spec: Some(spec),
            ..v1::BatchCreateJobsEntry::default()
        }
    });
    let request = v1::BatchCreateJobsRequest {
        jobs: entries.collect(),
        ..v1::BatchCreateJobsRequest::default()
    };
    request.encode_to_vec()
}

/// Objects of one field, each in a node of its own, in at most this many bytes of text.
fn small_objects(bytes: usize) -> String {
    let objects = vec![r#"{"":0}"#; (bytes - 8) / 7].join(",");
    format!(r#"{{"a":[{objects}]}}"#)
}

#[test]
fn every_parsed_value_that_is_kept_counts() {
    let text = small_objects(MAX_TEMPLATE_BYTES);
    let one = cost(&parameterized(&[&text]), usize::MAX).unwrap();
    assert!(one > 90 * text.len(), "{one}");
    let four = cost(&parameterized(&[text.as_str(); 4]), usize::MAX).unwrap();
    assert!(four > 4 * one - text.len(), "{four} and {one}");
    let bound = 10 << 20;
    assert!(cost(&parameterized(&[&text]), bound).is_ok());
    assert_eq!(
        cost(&parameterized(&[text.as_str(); 4]), bound),
        Err(Unfit::TooCostly)
    );
}

#[test]
fn a_text_that_is_not_parsed_costs_its_bytes() {
    let text = "{".repeat(MAX_TEMPLATE_BYTES + 1);
    let one = cost(&parameterized(&[&text]), usize::MAX).unwrap();
    assert!(one < 3 * text.len(), "{one}");
}
