//! Processes that die, stay away or share what they must not, and data of the first version.

mod absences;
mod crashes;
mod database_faults;
mod epochs;
mod left_behind;
mod long_items;
mod programs;
mod second_processes;
