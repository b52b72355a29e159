//! What clients do with a job: create, control, update and delete it.

mod control;
mod create;
mod delete;
mod update;
