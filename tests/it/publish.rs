//! What publishes the images: the workflows, and the scripts in `docker/publish/` that have all of their logic. Here the
//! scripts run with stand-ins for the programs that would reach a registry.

mod scripts;
mod workflows;
