//! What holds for any file: each line and each row is found once.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_line_is_found_once(
        content in proptest::collection::vec(prop_oneof![
            3 => Just(b'\n'), 1 => Just(b'\r'), 6 => Just(b'a'), 1 => any::<u8>(),
        ], 0..120),
        range in 1..40u64,
        group in 1..5i64,
        seed: u64,
    ) {
        prop_assume!(!matches!(content.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0xef, 0xbb, 0xbf, ..]));
        let file = file_with(&content);
        let found = walk(&cutting(range), definition(&file, json!({"group": group})), seed);
        prop_assert_eq!(lines_of(&found), plain_lines(&content));
    }

    /// The same rows, whether the file is cut or read in one go.
    #[test]
    fn every_row_is_found_once(
        rows in proptest::collection::vec(("[a,\"é]{0,4}", "[b\r\n,\"]{0,4}"), 0..20),
        multiline: bool,
        range in 1..40u64,
        group in 1..4i64,
        seed: u64,
    ) {
        let quoted = |field: &str| format!("\"{}\"", field.replace('"', "\"\""));
        let mut content = String::from("x,y\n");
        let mut expected = Vec::new();
        for (x, y) in rows {
            let y = if multiline { y } else { y.replace(['\r', '\n'], "") };
            expected.push(json!({"offset": content.len(), "row": {"x": x, "y": y}}));
            content.push_str(&format!("{},{}\n", quoted(&x), quoted(&y)));
        }
        let file = file_with(content.as_bytes());
        let options =
            json!({"format": "csv", "header": true, "quoted_newlines": multiline, "group": group});
        let found = walk(&cutting(range), definition(&file, options), seed);
        let rows: Vec<Value> = found
            .iter()
            .flat_map(|item| item.get("lines").and_then(Value::as_array).cloned().unwrap_or(vec![item.clone()]))
            .collect();
        prop_assert!(rows.is_permutation_of(&expected));
    }
}
