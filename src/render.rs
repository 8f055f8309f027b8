//! Shows: the only room that writes words. It gets time, width and colour as arguments and knows neither clap nor the
//! clock.

pub mod conversion;
pub mod documents;
pub mod guard;
pub mod human;
pub mod image_probe;
pub mod inspection;
pub mod list;
pub mod log_line;
pub mod output;
pub mod progress;
pub mod pulls;
pub mod report;
pub mod route;
pub mod route_comparison;
pub mod sanitize;
pub mod structured;
pub mod test_pull;
pub mod whereabouts;
mod yaml;
