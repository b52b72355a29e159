//! The harness of the end-to-end tests: whole deployments, embedded or on PostgreSQL and RabbitMQ, each with its own
//! database schema, queue prefix and ports, which cleans up after itself.
