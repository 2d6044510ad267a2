use super::*;

fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let covariance =
        a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>() / a.len() as f64;
    covariance / deviation(a) / deviation(b)
}

fn column(events: &[SensorEvent], feature: usize) -> Vec<f64> {
    events.iter().map(|event| event.values()[feature]).collect()
}

#[test]
fn the_same_seed_gives_the_same_plant() {
    let messages = |seed| -> Vec<Message> {
        Plant::new(&PlantParams { seed, ..PlantParams::default() }).take(500).collect()
    };
    assert_eq!(messages(3), messages(3));
    assert_ne!(messages(3), messages(4));
}

/// Guards the versions of the generator and its samplers: another value here is another plant.
#[test]
fn the_plant_keeps_its_golden_values() {
    let values: Vec<[f64; N_FEATURES]> =
        normal_events(3, 42).iter().map(|event| event.values().try_into().unwrap()).collect();
    assert_eq!(values, [[69.82, 48.67, 64.81], [69.25, 46.0, 64.17], [68.86, 45.71, 64.87]]);
}

#[test]
fn normal_behaviour_has_the_stated_size_and_shape() {
    let events = normal_events(20_000, 1);
    let columns = [0, 1, 2].map(|feature| column(&events, feature));
    for (feature, column) in columns.iter().enumerate() {
        let actual = deviation(column);
        let stated = NORMAL_DEVIATIONS[feature];
        assert!(
            (actual / stated - 1.0).abs() < 0.03,
            "feature {feature}: {actual}, stated {stated}"
        );
    }
    assert!(correlation(&columns[0], &columns[2]) > 0.2);
    assert!(correlation(&columns[0], &columns[1]) < -0.2);
}

#[test]
fn stations_differ_and_keep_their_baseline_whatever_the_seed() {
    let mean_temperature = |number: u32, seed: u64| {
        let events = normal_events(16_000, seed);
        let own: Vec<f64> = events
            .iter()
            .filter(|event| *event.station_id() == station_id(number))
            .map(|event| event.values()[0])
            .collect();
        own.iter().sum::<f64>() / own.len() as f64
    };
    assert!((mean_temperature(1, 1) - mean_temperature(1, 2)).abs() < 0.1);
    assert!((mean_temperature(1, 1) - mean_temperature(3, 1)).abs() > 0.2);
}

#[test]
fn faults_take_the_share_of_events_that_was_asked_for() {
    for anomaly_rate in [0.0, 0.05, 0.5, Plant::ANOMALY_RATE_MAX] {
        let plant = Plant::new(&PlantParams { anomaly_rate, ..PlantParams::default() });
        let n_faulty = plant.take(100_000).filter(|message| message.fault.is_some()).count();
        assert!(
            (n_faulty as f64 / 1e5 - anomaly_rate).abs() < 0.01,
            "{n_faulty} of 100,000 for {anomaly_rate}"
        );
    }
}

#[test]
fn every_fault_occurs_and_has_its_size() {
    let params =
        PlantParams { n_stations: 1, anomaly_rate: 0.3, seed: 5, ..PlantParams::default() };
    let messages: Vec<Message> = Plant::new(&params).take(20_000).collect();
    for fault in Fault::ALL {
        assert!(messages.iter().any(|message| message.fault == Some(fault)), "{fault}");
    }

    let baselines = Station::new(1).baselines();
    let distance = |message: &Message| -> f64 {
        (0..N_FEATURES)
            .map(|i| ((message.values[i] - baselines[i]) / NORMAL_DEVIATIONS[i]).abs())
            .fold(0.0, f64::max)
    };
    for message in &messages {
        match message.fault {
            Some(Fault::Spike) => assert!((5.9..12.1).contains(&distance(message)), "{message:?}"),
            Some(Fault::Dropout) => assert!((distance(message) - 8.0).abs() < 0.1, "{message:?}"),
            // The load is at most as large as one deviation, so its sign does not stand out.
            Some(Fault::LostCorrelation | Fault::StuckSensor) | None => {
                assert!(distance(message) < 6.0);
            }
            Some(_) => assert!(distance(message) < 12.0),
        }
    }
}

#[test]
fn training_covers_whole_days_and_comes_in_order_of_time() {
    let events = normal_events(TRAINING_EVENTS, 0);
    let of_one: Vec<&SensorEvent> =
        events.iter().filter(|event| *event.station_id() == station_id(1)).collect();
    assert_eq!(of_one.len() as u64 % EVENTS_A_DAY, 0);
    assert!(events.is_sorted_by_key(SensorEvent::timestamp_us));
    assert_eq!(EVENT_INTERVAL_US * EVENTS_A_DAY.cast_signed(), 86_400_000_000);
}

#[test]
fn a_worn_bearing_grows_worse_and_stays_so() {
    let worn = Some(WornStation { number: 2, from_index: 50 });
    let params =
        PlantParams { n_stations: 2, anomaly_rate: 0.0, worn, seed: 3, ..PlantParams::default() };
    let messages: Vec<Message> = Plant::new(&params).take(1_000).collect();
    let sound = |indices: std::ops::Range<u64>| {
        let of_worn =
            messages.iter().filter(|m| m.station_number == 2 && indices.contains(&m.index));
        let values: Vec<f64> = of_worn.map(|message| message.values[2]).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    assert!((sound(400..500) - sound(0..50) - 6.0 * NORMAL_DEVIATIONS[2]).abs() < 1.0);
    assert!(sound(100..110) < sound(400..500) - 2.0, "it takes its time");
    let is_ill = |message: &Message| message.station_number == 2 && message.index >= 50;
    assert!(messages.iter().all(|m| (m.fault == Some(Fault::BearingWear)) == is_ill(m)));
}

/// Returns the mean temperature of each day of the first station, in normal deviations from the first day.
fn days(params: &PlantParams, n_days: usize) -> Vec<f64> {
    let len = usize::try_from(EVENTS_A_DAY).unwrap();
    let of_one = Plant::new(params).filter(|message| message.station_number == 1);
    let temperatures: Vec<f64> =
        of_one.map(|message| message.values[0]).take(n_days * len).collect();
    let mean = |day: &[f64]| day.iter().sum::<f64>() / day.len() as f64;
    let means: Vec<f64> = temperatures.chunks(len).map(mean).collect();
    means.iter().map(|mean_of_day| (mean_of_day - means[0]) / NORMAL_DEVIATIONS[0]).collect()
}

#[test]
fn a_plant_that_changes_begins_as_the_other_and_drifts_until_it_is_maintained() {
    let calm = PlantParams { anomaly_rate: 0.0, ..PlantParams::default() };
    let changing = PlantParams { changes: true, ..calm };
    let (calm, changing) = (days(&calm, 12), days(&changing, 12));
    assert!(calm.iter().all(|moved| moved.abs() < 0.4), "{calm:?}");
    assert!(changing[1].abs() < 0.7, "{changing:?}");
    let furthest = changing.iter().map(|moved| moved.abs()).fold(0.0, f64::max);
    assert!((0.7..4.0).contains(&furthest), "{changing:?}");
    let largest_step =
        changing.windows(2).map(|days| (days[1] - days[0]).abs()).fold(0.0, f64::max);
    assert!(largest_step > 0.5, "{changing:?}");
}
