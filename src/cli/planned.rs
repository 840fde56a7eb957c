//! The plan that the commands show: what the daemon would plan, found without a daemon.

use std::path::Path;

use crate::config::Config;
use crate::facts::gpu::Answers;
use crate::facts::{DisplayFacts, Facts};
use crate::plan::Plan;

/// The facts and the plan for the machine below `root`, with what drivers answered.
pub fn planned(config: &Config, root: &Path, answers: &Answers) -> (Facts, Plan) {
    let mut facts = Facts::probe(config, root, answers);
    if root == Path::new("/") && super::runs(config) {
        // The daemon has looked before its own X server ran.
        facts.display = DisplayFacts { taken: facts.display.taken, ..DisplayFacts::default() };
    }
    let plan = Plan::build(config, &facts);
    (facts, plan)
}
