//! Files and definitions that are refused, and bad rows.

use super::*;
use crate::testing::invalid;

fn refused(content: &[u8], options: Value) -> String {
    let file = file_with(content);
    let lines = cutting(4);
    let Page { children, .. } =
        match Walk::ask(&lines, &definition(&file, options), None, 100, None) {
            Ok(page) => page,
            Err(SplitError::Invalid(sentence)) => return sentence,
            Err(other) => panic!("{other}"),
        };
    for child in children {
        let Child::Batch { definition, .. } = child else {
            panic!("{child:?}")
        };
        match Walk::ask(&lines, &definition, None, 100, None) {
            Ok(_) => {}
            Err(SplitError::Invalid(sentence)) => return sentence,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("{content:?} was not refused")
}

#[test]
fn wrong_content_is_refused_with_its_place() {
    let csv = |more: Value| {
        let mut options = json!({"format": "csv"});
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        options
    };
    for (content, options, parts) in [
        (
            &b"{}\n{\n"[..],
            json!({"format": "ndjson"}),
            ["at byte 3 ", "not JSON"],
        ),
        (
            b"1\n\xff\n",
            json!({"format": "ndjson"}),
            ["at byte 2 ", "not JSON"],
        ),
        (
            b"a,b\n1\n",
            csv(json!({"header": true})),
            ["at byte 4 ", "1 fields where the header has 2"],
        ),
        (
            b"a,a\n",
            csv(json!({"header": true})),
            ["at byte 0 ", "columns 1 and 2 the same name"],
        ),
        (
            b"x\n\"a\nb\"\n",
            csv(json!({"quoted_newlines": false})),
            ["at byte 2 ", "goes on over the end"],
        ),
        (b"x\n\"a\"b\n", csv(json!({})), ["at byte 2 ", "text after"]),
        (b"x\n\"a\n", csv(json!({})), ["at byte 2 ", "does not end"]),
        (b"\xff\xfea\0", json!({}), ["UTF-16", "convert"]),
    ] {
        let sentence = refused(content, options);
        assert!(
            parts.iter().all(|part| sentence.contains(part)),
            "{sentence:?} does not say {parts:?}"
        );
    }
    let long = [b"x\n".to_vec(), vec![b'y'; 1 << 20], b"y\n".to_vec()].concat();
    let sentence = refused(&long, json!({}));
    assert!(
        sentence.contains("at byte 2 ") && sentence.contains("longer than"),
        "{sentence}"
    );
    let wide = [b"x\n".to_vec(), vec![1; 1 << 19]].concat();
    let sentence = refused(&wide, json!({}));
    assert!(
        sentence.contains("at byte 2 ") && sentence.contains("as JSON"),
        "{sentence}"
    );
}

#[test]
fn wrong_definitions_are_invalid() {
    let file = file_with(b"x");
    let folder = tempfile::tempdir().unwrap();
    for (options, part) in [
        (json!({"path": "relative"}), "absolute path"),
        (
            json!({"path": folder.path().join("missing")}),
            "cannot open",
        ),
        (json!({"path": folder.path()}), "is not a regular file"),
        (
            json!({"format": "xml"}),
            "unknown variant, expected one of `text`",
        ),
        (json!({"header": true}), "for the format `csv`"),
        (json!({"format": "csv", "delimiter": "\""}), "`delimiter`"),
        (json!({"format": "csv", "delimiter": "é"}), "`delimiter`"),
        (json!({"group": 0}), "`group` must be 1 to 1000"),
        (json!({"lines": 1}), "unknown field `lines`"),
        (
            json!({"range": {"start": 5, "end": 9, "first": 0, "version": {"length": 1, "modified_ns": 0}}}),
            "not a part of the file",
        ),
    ] {
        invalid(&lines(), &definition(&file, options), part);
    }
    invalid(
        &Lines::new(FileRoots::new([folder.path().to_owned()])),
        &definition(&file, json!({})),
        "not in a folder",
    );
    invalid(
        &Lines::new(FileRoots::default()),
        &definition(&file, json!({})),
        "`file_roots`",
    );
}

#[test]
fn bad_rows_fail_are_left_out_or_are_listed() {
    let csv = b"a,b\n1,2\n3\n\"x\"y,4\n\xff,5\n6,7\n";
    let ndjson = b"{\"a\":1}\n{\"a\":\n[2]\n";
    let csv_options = |bad_rows: &str| json!({"format": "csv", "header": true, "quoted_newlines": false, "bad_rows": bad_rows});
    let json_options = |bad_rows: &str| json!({"format": "ndjson", "bad_rows": bad_rows});
    assert!(refused(csv, csv_options("fail")).contains("has 1 fields where the header has 2"));
    assert!(refused(ndjson, json_options("fail")).contains("is not JSON"));
    let offsets = |items: &[Value], key: &str| -> Vec<u64> {
        let with = items.iter().filter(|item| item.get(key).is_some());
        with.filter_map(|item| item["offset"].as_u64()).collect()
    };
    let skipped = items(csv, csv_options("skip"));
    assert_eq!((offsets(&skipped, "row"), skipped.len()), (vec![4, 21], 2));
    let listed = items(csv, csv_options("list"));
    assert_eq!(offsets(&listed, "row"), [4, 21]);
    assert_eq!(offsets(&listed, "error"), [8, 10, 17]);
    assert_eq!(
        offsets(&items(ndjson, json_options("skip")), "value"),
        [0, 14]
    );
    let listed = items(ndjson, json_options("list"));
    assert_eq!(offsets(&listed, "error"), [8]);
    assert!(
        listed[1]["error"]
            .as_str()
            .unwrap()
            .starts_with("is not JSON: EOF")
    );
    let file = file_with(b"x");
    let text = definition(&file, json!({"bad_rows": "skip"}));
    invalid(&lines(), &text, "for the formats `csv` and `ndjson`");
}
