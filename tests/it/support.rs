//! What the tests share: running the binary, the fake node, the lab.

pub mod fixture;
pub mod lab;
pub mod made;
pub mod run;
pub mod small;
pub mod stand_in;
pub mod terminal;

pub use run::{Outcome, criscope};

use criscope::fake::{self, Node};

/// The made-up node of the demo.
pub fn demo_node() -> Node {
    fake::demo().expect("the fake node starts")
}
