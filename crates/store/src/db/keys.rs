//! Lists of keys as one bound parameter, so that a statement's text does not depend on how many
//! there are.

use sea_orm::Value;

use super::handle::Db;

impl Db {
    /// A condition `column IN (the list bound as $n)`; bind [`ints`].
    pub(crate) fn is_in(&self, column: &str, n: usize) -> String {
        if self.is_sqlite() {
            format!("{column} IN (SELECT value FROM json_each(${n}))")
        } else {
            format!(
                "{column} = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text(${n}::json)))"
            )
        }
    }

    /// A relation `alias(value)` of the list bound as $n; bind [`ints`].
    pub(crate) fn each_int(&self, alias: &str, n: usize) -> String {
        if self.is_sqlite() {
            format!("(SELECT value FROM json_each(${n})) AS {alias}")
        } else {
            format!(
                "(SELECT value::bigint AS value FROM json_array_elements_text(${n}::json)) AS {alias}"
            )
        }
    }

    /// The texts of the JSON list bound as $n, for `IN`, or as a relation with a column `value`.
    pub(crate) fn texts(&self, n: usize) -> String {
        match self.is_sqlite() {
            true => format!("SELECT value FROM json_each(${n})"),
            false => format!("SELECT json_array_elements_text(${n}::json) AS value"),
        }
    }

    /// A relation `alias(a, b)` of the pairs bound as $n; bind [`pairs`].
    pub(crate) fn pairs(&self, alias: &str, n: usize) -> String {
        if self.is_sqlite() {
            format!(
                "(SELECT json_extract(value, '$[0]') AS a, json_extract(value, '$[1]') AS b \
                 FROM json_each(${n})) AS {alias}"
            )
        } else {
            format!(
                "(SELECT (value->>0)::bigint AS a, (value->>1)::bigint AS b \
                 FROM json_array_elements(${n}::json)) AS {alias}"
            )
        }
    }

    /// A relation `alias(a, b, c)` of the triples bound as $n; bind [`triples`].
    pub(crate) fn triples(&self, alias: &str, n: usize) -> String {
        if self.is_sqlite() {
            format!(
                "(SELECT json_extract(value, '$[0]') AS a, json_extract(value, '$[1]') AS b, \
                 json_extract(value, '$[2]') AS c FROM json_each(${n})) AS {alias}"
            )
        } else {
            format!(
                "(SELECT (value->>0)::bigint AS a, (value->>1)::bigint AS b, (value->>2)::bigint AS c \
                 FROM json_array_elements(${n}::json)) AS {alias}"
            )
        }
    }
}

/// A list of integers for [`Db::is_in`] and [`Db::each_int`].
pub(crate) fn ints(list: impl IntoIterator<Item = i64>) -> Value {
    json(list.into_iter().map(|key| key.to_string()))
}

/// A list of texts for [`Db::texts`].
pub(crate) fn texts(list: &[String]) -> Value {
    serde_json::to_string(list).unwrap_or_default().into()
}

/// A list of pairs for [`Db::pairs`].
pub(crate) fn pairs(list: impl IntoIterator<Item = (i64, i64)>) -> Value {
    json(list.into_iter().map(|(a, b)| format!("[{a},{b}]")))
}

/// A list of triples for [`Db::triples`].
pub(crate) fn triples(list: impl IntoIterator<Item = (i64, i64, i64)>) -> Value {
    json(list.into_iter().map(|(a, b, c)| format!("[{a},{b},{c}]")))
}

fn json(list: impl Iterator<Item = String>) -> Value {
    let mut text = String::from("[");
    for (at, entry) in list.enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&entry);
    }
    text.push(']');
    text.into()
}
