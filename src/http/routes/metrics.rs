//! The agent's metrics, as JSON and in Prometheus' text form.

use std::fmt::Write as _;

use axum::body::Body;
use axum::response::Response;

use crate::env::metrics::{Key, Observed, Snapshot};
use crate::http::context::Ctx;
use crate::http::dto::misc::{GaugeValue, MetricsSummary, SampledValue};
use crate::http::error::HttpError;
use crate::http::respond;

/// `/v1/metrics`
pub(super) fn metrics(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    let snapshot = ctx.app.local.metrics().snapshot();
    if ctx.params.text("format") == "prometheus" {
        return Ok(respond::content(
            "text/plain; version=0.0.4; charset=utf-8",
            Body::from(prometheus(&snapshot)),
        ));
    }
    ctx.plain_json(&summary(&snapshot))
}

fn summary(snapshot: &Snapshot) -> MetricsSummary {
    let observed = |o: &Observed| SampledValue {
        count: o.interval.count,
        labels: labels(&o.key).collect(),
        max: o.interval.max,
        mean: o.interval.mean(),
        min: o.interval.min,
        name: o.key.name.to_string(),
        rate: o.interval.rate(),
        stddev: o.interval.stddev(),
        sum: o.interval.sum,
    };
    let seconds = snapshot.taken_at.div_euclid(1_000_000_000);
    MetricsSummary {
        counters: snapshot.counters.iter().map(observed).collect(),
        gauges: snapshot
            .gauges
            .iter()
            .map(|(key, value)| GaugeValue {
                labels: labels(key).collect(),
                name: key.name.to_string(),
                value: *value,
            })
            .collect(),
        points: Vec::new(),
        samples: snapshot.samples.iter().map(observed).collect(),
        timestamp: jiff::Timestamp::from_second(seconds)
            .map(|t| t.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string())
            .unwrap_or_default(),
    }
}

fn labels(key: &Key) -> impl Iterator<Item = (String, String)> {
    key.labels
        .iter()
        .map(|(name, value)| ((*name).to_string(), value.clone()))
}

/// The text form; counters and summaries since the agent started.
fn prometheus(snapshot: &Snapshot) -> String {
    let mut out = Text::default();
    for (key, value) in &snapshot.gauges {
        out.family(key.name, "gauge");
        out.line(key, "", *value);
    }
    for counter in &snapshot.counters {
        out.family(counter.key.name, "counter");
        out.line(&counter.key, "", counter.total.sum);
    }
    for sample in &snapshot.samples {
        out.family(sample.key.name, "summary");
        out.line(&sample.key, "_sum", sample.total.sum);
        out.line(&sample.key, "_count", sample.total.count as f64);
    }
    out.text
}

#[derive(Default)]
struct Text {
    text: String,
    family: String,
}

impl Text {
    /// Starts a family of series, once.
    fn family(&mut self, name: &str, kind: &str) {
        let name = spelled(name);
        if self.family != name {
            self.push(format_args!("# TYPE {name} {kind}\n"));
            self.family = name;
        }
    }

    fn line(&mut self, key: &Key, suffix: &str, value: f64) {
        let mut labels = String::new();
        for (name, value) in &key.labels {
            if !labels.is_empty() {
                labels.push(',');
            }
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            labels.push_str(&format!("{}=\"{value}\"", spelled(name)));
        }
        let name = spelled(key.name);
        if labels.is_empty() {
            self.push(format_args!("{name}{suffix} {value}\n"));
        } else {
            self.push(format_args!("{name}{suffix}{{{labels}}} {value}\n"));
        }
    }

    fn push(&mut self, arguments: std::fmt::Arguments) {
        self.text
            .write_fmt(arguments)
            .expect("writing into a string cannot fail");
    }
}

/// A name with nothing but letters, digits and underscores.
fn spelled(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    #[test]
    fn the_text_form_names_each_family_once() {
        let metrics = Env::sim(1).metrics;
        metrics.gauge("tumen.allocs", &[("node", "a\"b")], 2.0);
        metrics.gauge("tumen.allocs", &[("node", "c")], 1.5);
        metrics.count("tumen.plans", &[], 3.0);
        metrics.sample("tumen.time-ms", &[], 4.0);
        metrics.sample("tumen.time-ms", &[], 6.0);
        assert_eq!(
            prometheus(&metrics.snapshot()),
            "# TYPE tumen_allocs gauge\n\
             tumen_allocs{node=\"a\\\"b\"} 2\n\
             tumen_allocs{node=\"c\"} 1.5\n\
             # TYPE tumen_plans counter\n\
             tumen_plans 3\n\
             # TYPE tumen_time_ms summary\n\
             tumen_time_ms_sum 10\n\
             tumen_time_ms_count 2\n"
        );
        let json = summary(&metrics.snapshot());
        assert_eq!((json.samples[0].count, json.samples[0].mean), (2, 5.0));
        assert!(json.timestamp.ends_with("+0000 UTC"), "{}", json.timestamp);
    }
}
