//! Tests of the rings.

use super::super::sample::{GpuFigures, ServiceFigures, Usage};
use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn sample(cpu: f64) -> Sample {
    Sample { cpu_share: Some(cpu), memory_used_bytes: Some(1 << 33), ..Sample::default() }
}

fn service(name: &str, memory: u64) -> ServiceFigures {
    ServiceFigures { name: name.into(), usage: Usage { memory_bytes: memory, ..Usage::default() } }
}

#[test]
fn values_are_means_and_gaps_are_null() {
    let mut past = Past::new();
    for (second, cpu) in [(5, 0.5), (6, 0.1), (6, 0.2), (9, 1.0), (64, 0.25)] {
        past.add(at(second), &sample(cpu));
    }
    let history = past.history(at(70), 1_000_000);
    let seconds = &history.seconds;
    assert_eq!((seconds.step_seconds, seconds.until_at), (1, 1_000_000 - 6000));
    assert_eq!(seconds.cpu_share.len(), 60);
    assert_eq!(seconds.cpu_share[..5], [Some(0.5), Some(0.15), None, None, Some(1.0)]);
    assert_eq!(seconds.cpu_share[5..59], [None; 54]);
    assert_eq!(seconds.cpu_share[59], Some(0.25));
    assert_eq!(seconds.memory_used_bytes[0], Some(8_589_934_592.0));
    assert_eq!(seconds.swap_used_bytes, [None; 60]);
    let minutes = &history.minutes;
    assert_eq!((minutes.step_seconds, minutes.until_at), (60, 1_000_000 - 10_000));
    assert_eq!(minutes.cpu_share, [Some(0.45), Some(0.25)]);
    assert_eq!(Past::new().history(at(9), 7).seconds.cpu_share, [None; 0]);
}

#[test]
fn rings_have_a_fixed_size() {
    let mut past = Past::new();
    let gpus: Vec<GpuFigures> =
        (0..40).map(|number| GpuFigures { place: number.to_string(), ..GpuFigures::default() }).collect();
    for second in 0..700 {
        let services = (0..300).map(|number| service(&format!("s{number}"), 1)).collect();
        past.add(at(second), &Sample { gpus: gpus.clone(), services, ..sample(0.5) });
    }
    assert_eq!((past.gpus.len(), past.services.len()), (MOST_GPUS, MOST_SERVICES));
    let lengths: Vec<usize> = past.machine.iter().map(|ring| ring.slots.len()).collect();
    assert_eq!(lengths, [600, 12]);
    let bytes = |slots: usize, figures: usize| slots * figures * size_of::<f32>();
    let most = bytes(600 + 1440, OF_MACHINE)
        + MOST_GPUS * bytes(600 + 1440, OF_GPU)
        + MOST_SERVICES * bytes(60, OF_SERVICE);
    assert!(most < 1 << 20, "{most}");
    for ring in &past.machine {
        assert!(ring.slots.capacity() <= ring.most + 1, "{}", ring.slots.capacity());
    }
    // After a pause of days, the ring is as large as before and has only gaps and the new value.
    past.add(at(1_000_000), &sample(0.25));
    let seconds = past.history(at(1_000_000), 0).seconds;
    assert_eq!(
        (seconds.cpu_share.len(), seconds.cpu_share[598], seconds.cpu_share[599]),
        (600, None, Some(0.25))
    );
}

#[test]
fn services_are_kept_until_they_are_gone_for_the_whole_time() {
    let mut past = Past::new();
    let with = |services: Vec<ServiceFigures>| Sample { services, ..sample(0.0) };
    past.add(at(3), &with(vec![service("a", 100), service("b", 7)]));
    past.add(at(9), &with(vec![service("a", 300)]));
    past.add(at(31), &with(vec![service("a", 50), service("c", 1)]));
    let found = past.history(at(31), 0).services;
    assert_eq!((found.step_seconds, found.until_at), (10, -1000));
    let memory: Vec<_> =
        found.services.iter().map(|chart| (&*chart.name, chart.memory_bytes.clone())).collect();
    let all = |values: [u32; 4]| values.map(|value| (value > 0).then(|| f64::from(value))).to_vec();
    assert_eq!(memory, [("a", all([200, 0, 0, 50])), ("b", all([7, 0, 0, 0])), ("c", all([0, 0, 0, 1]))]);
    past.add(at(620), &with(vec![service("a", 50)]));
    let found = past.history(at(620), 0).services;
    let names: Vec<&str> = found.services.iter().map(|chart| &*chart.name).collect();
    assert_eq!(names, ["a", "c"]);
    assert!(found.services.iter().all(|chart| chart.cpu_share.len() == 60));
}

#[test]
fn gpus_have_the_same_slots_as_the_machine() {
    let mut past = Past::new();
    past.add(at(0), &sample(0.1));
    let gpu = GpuFigures { place: "p".into(), awake_share: Some(0.5), ..GpuFigures::default() };
    past.add(at(1), &Sample { gpus: vec![gpu], ..sample(0.1) });
    past.add(at(2), &sample(0.1));
    let chart = past.history(at(2), 0).seconds;
    assert_eq!(chart.gpus[0].busy_share, [None, Some(0.5), None]);
    assert_eq!((chart.gpus[0].power_watts.len(), chart.cpu_share.len()), (3, 3));
}
