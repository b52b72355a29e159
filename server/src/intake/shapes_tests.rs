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

#[test]
fn the_largest_json_text_is_parsed_beside_the_message() {
    let text = format!("[{}]", vec![r#"{"a":1}"#; 100_000].join(","));
    let request = |texts: &[&str]| {
        let entries = texts.iter().map(|text| {
            let batch = v1::BatchSpec {
                definition: Some(v1::batch_spec::Definition::JsonText((*text).to_owned())),
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
        let parent = String::new();
        let jobs = entries.collect();
        let request = v1::BatchCreateJobsRequest {
            parent,
            jobs,
            validate_only: false,
        };
        request.encode_to_vec()
    };
    let bound = 10 << 20;
    let one = cost(&request(&[&text]), bound).unwrap();
    assert!(one > 50 * text.len(), "{one}");
    let two = cost(&request(&[&text, "[]", &text]), bound).unwrap();
    assert!(two < one + 3 * text.len(), "{two} and {one}");
}
