//! Splits a whole definition in one go, for the tests of splitters.

use serde_json::Value;

use crate::{Child, Definition, PageRequest, SplitError, Splitter};

/// Finds all items in and below a definition, in no particular order, and checks on the way what a
/// splitter promises: that definitions survive being stored, that pages keep their bounds and move
/// on, and that totals are exact.
///
/// All items are held in memory: this is for tests, not for work.
///
/// # Errors
/// Those of the splitter; [`SplitError::Invalid`] if a promise is broken.
pub async fn collect(
    splitter: &dyn Splitter,
    definition: &Definition,
    parameters: &Value,
    limit: usize,
) -> Result<Vec<Value>, SplitError> {
    let mut items = Vec::new();
    let whole = splitter.total(definition, parameters)?;
    let mut open = vec![(definition.clone(), whole)];
    while let Some((definition, promised)) = open.pop() {
        let definition = Definition::decode(&definition.encode())?;
        let total = splitter.total(&definition, parameters)?;
        if promised.is_some() && total != promised {
            return Err(SplitError::invalid(format!(
                "a total of {promised:?} was promised, then it was {total:?}"
            )));
        }
        let mut cursor: Option<Vec<u8>> = None;
        loop {
            let cursor_bytes = cursor.as_deref();
            let request = PageRequest {
                definition: &definition,
                parameters,
                cursor: cursor_bytes,
                limit,
                warm: None,
            };
            let page = splitter.page(request).await?;
            page.check(cursor_bytes, limit)?;
            for child in page.children {
                match child {
                    Child::Item(item) => items.push(item),
                    Child::Batch { definition, total } => open.push((definition, total)),
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
    }
    let found = u64::try_from(items.len()).ok();
    if whole.is_some() && whole != found {
        return Err(SplitError::invalid(format!(
            "a total of {whole:?} was promised, and {found:?} were found"
        )));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde_json::json;

    use super::*;
    use crate::Page;
    use crate::range::Range;

    /// Promises a total, and answers every request with one item and the same cursor, or none.
    struct Liar {
        total: u64,
        next: Option<Vec<u8>>,
    }

    #[async_trait]
    impl Splitter for Liar {
        fn name(&self) -> &str {
            "liar"
        }

        fn reproducible(&self) -> bool {
            false
        }

        fn total(&self, _: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
            Ok(Some(self.total))
        }

        async fn page(&self, _: PageRequest<'_>) -> Result<Page, SplitError> {
            Ok(Page {
                children: vec![Child::Item(Value::Null)],
                next: self.next.clone(),
            })
        }
    }

    #[tokio::test]
    async fn broken_promises_are_found() {
        let definition = Definition::Json(Value::Null);
        for (total, next, part) in [
            (2, None, "were found"),
            (1, Some(vec![1]), "the cursor that it was given"),
        ] {
            let error = collect(&Liar { total, next }, &definition, &Value::Null, 1)
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
        assert!(
            collect(
                &Liar {
                    total: 1,
                    next: None
                },
                &definition,
                &Value::Null,
                1
            )
            .await
            .is_ok()
        );
    }

    #[tokio::test]
    async fn everything_is_found() {
        let definition = Definition::Json(json!({"from": 0, "to": 100, "page": 7}));
        let mut items = collect(&Range, &definition, &Value::Null, 3).await.unwrap();
        items.sort_by_key(Value::as_i64);
        assert_eq!(items, (0..100).map(Value::from).collect::<Vec<_>>());
    }
}
