//! Items: reports about them, their timers and leases, and repair.

mod repair;
mod report;
mod resend;
mod timers;
mod unconsumed;
