//! The server over TCP, with a real store on SQLite and pipes in process. Tests play workers and tracking by hand.

mod audit;
mod control;
mod doors;
mod exploring;
mod gateway;
mod harness;
mod idle_partitions;
mod inputs;
mod jobs;
mod pages;
mod partition_watch;
mod partitions;
mod serving;
mod watching;
