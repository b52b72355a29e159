//! The server over TCP, with a real store on SQLite and pipes in process. Tests play workers and tracking by hand.

#[macro_use]
mod harness;

mod audit;
mod control;
mod doors;
mod exploring;
mod gateway;
mod idle_partitions;
mod inputs;
mod jobs;
mod pages;
mod partition_watch;
mod partitions;
mod serving;
mod watching;
