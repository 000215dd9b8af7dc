//! What a head is to say about its items, as losses that are convex in the head: of each the sum over items, and its gradient with
//! respect to the head's outputs.

/// Neighbouring outputs of a head with a loss of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub outputs: usize,
    pub wanted: Wanted,
}

/// What the outputs of a part are to be, item by item.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// One output is the right one: softmax and cross entropy in nats, with this share of each target spread over all outputs.
    /// `None`: it is not known which.
    Class { labels: Vec<Option<u32>>, smoothing: f64 },
    /// Each output is right (1), wrong (0) or between, whatever the others are: logistic loss in nats. NaN: not known.
    Shares(Vec<f32>),
    /// Numbers: half the squared error, beyond `huber` straight (where it is given). NaN: not known.
    Values { values: Vec<f32>, huber: Option<f32> },
}

impl Part {
    /// Adds the losses of the items `first..`, one for each row of `outputs` (rows of `stride`, of which this part has those from
    /// `at`), to the sums of those that `weights` has trained on and those held out; turns the outputs into the gradients of the
    /// first sum.
    pub(super) fn add(&self, first: usize, weights: &[Weight], outputs: &mut [f32], (stride, at): (usize, usize), sums: &mut Sums) {
        for (row, (outputs, weight)) in outputs.chunks_exact_mut(stride).zip(weights).enumerate() {
            let own = &mut outputs[at..at + self.outputs];
            let loss = self.row(first + row, own);
            own.iter_mut().for_each(|gradient| *gradient *= weight.learned);
            sums.learned += f64::from(weight.learned) * loss;
            sums.held += f64::from(weight.held) * loss;
        }
    }

    /// The loss of one item; its outputs become gradients.
    fn row(&self, item: usize, outputs: &mut [f32]) -> f64 {
        let wanted = |values: &[f32], output: usize| values.get(item * self.outputs + output).copied().filter(|value| !value.is_nan());
        match &self.wanted {
            Wanted::Class { labels, smoothing } => match labels.get(item).copied().flatten() {
                Some(label) => class_row(outputs, label as usize, *smoothing),
                None => unknown(outputs),
            },
            Wanted::Shares(shares) => each(outputs, |output| wanted(shares, output), logistic),
            Wanted::Values { values, huber } => each(outputs, |output| wanted(values, output), |x, y| squared(x, y, *huber)),
        }
    }
}

/// How much an item counts among those trained on and those held out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weight {
    pub learned: f32,
    pub held: f32,
}

/// Weighted sums of losses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    pub learned: f64,
    pub held: f64,
}

fn unknown(outputs: &mut [f32]) -> f64 {
    outputs.fill(0.0);
    0.0
}

fn class_row(outputs: &mut [f32], label: usize, smoothing: f64) -> f64 {
    let largest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = outputs.iter().map(|value| f64::from(value - largest).exp()).sum();
    let log_total = total.ln();
    let spread = smoothing / outputs.len() as f64;
    let mut loss = 0.0;
    for (output, value) in outputs.iter_mut().enumerate() {
        let log_share = f64::from(*value - largest) - log_total;
        let wanted = spread + if output == label { 1.0 - smoothing } else { 0.0 };
        if wanted > 0.0 {
            loss -= wanted * log_share;
        }
        *value = (log_share.exp() - wanted) as f32;
    }
    loss
}

/// Outputs that know nothing of each other, each by `loss(output, wanted)` with its slope.
fn each(outputs: &mut [f32], wanted: impl Fn(usize) -> Option<f32>, loss: impl Fn(f64, f64) -> (f64, f64)) -> f64 {
    let mut sum = 0.0;
    for (output, value) in outputs.iter_mut().enumerate() {
        let (found, slope) = wanted(output).map_or((0.0, 0.0), |wanted| loss(f64::from(*value), f64::from(wanted)));
        sum += found;
        *value = slope as f32;
    }
    sum
}

fn logistic(x: f64, wanted: f64) -> (f64, f64) {
    let share = 1.0 / (1.0 + (-x).exp());
    (x.max(0.0) - x * wanted + (-x.abs()).exp().ln_1p(), share - wanted)
}

fn squared(x: f64, wanted: f64, huber: Option<f32>) -> (f64, f64) {
    let error = x - wanted;
    match huber.map(f64::from) {
        Some(edge) if error.abs() > edge => (edge * (error.abs() - edge / 2.0), edge * error.signum()),
        _ => (error * error / 2.0, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(wanted: Wanted) -> Part {
        Part { outputs: 3, wanted }
    }

    #[test]
    fn gradients_are_the_slopes_of_losses() {
        let parts = [
            part(Wanted::Class { labels: vec![Some(2)], smoothing: 0.0 }),
            part(Wanted::Class { labels: vec![Some(0)], smoothing: 0.2 }),
            part(Wanted::Shares(vec![1.0, 0.0, 0.3])),
            part(Wanted::Values { values: vec![0.5, -2.0, 3.0], huber: None }),
            part(Wanted::Values { values: vec![0.5, -2.0, 3.0], huber: Some(1.0) }),
        ];
        let outputs = [0.7f32, -1.2, 2.1];
        for part in parts {
            let mut gradients = outputs;
            part.row(0, &mut gradients);
            for at in 0..3 {
                let loss = |step: f32| {
                    let mut moved = outputs;
                    moved[at] += step;
                    part.row(0, &mut moved)
                };
                let slope = (loss(1e-2) - loss(-1e-2)) / 2e-2;
                assert!((slope - f64::from(gradients[at])).abs() < 1e-3, "{part:?}: {slope} {}", gradients[at]);
            }
        }
    }

    #[test]
    fn what_is_not_known_teaches_nothing_and_large_outputs_stay_finite() {
        let mut outputs = [1.0f32, 2.0, 3.0];
        assert_eq!(part(Wanted::Class { labels: vec![None], smoothing: 0.0 }).row(0, &mut outputs), 0.0);
        assert_eq!(outputs, [0.0; 3]);
        let mut outputs = [1.0f32, 2.0, 3.0];
        let loss = part(Wanted::Values { values: vec![f32::NAN, 2.0, 1.0], huber: None }).row(0, &mut outputs);
        assert_eq!((loss, outputs), (2.0, [0.0, 0.0, 2.0]));
        let mut large = [1e4f32, -1e4, 0.0];
        assert!((part(Wanted::Class { labels: vec![Some(1)], smoothing: 0.0 }).row(0, &mut large) - 2e4).abs() < 1.0);
        assert!((part(Wanted::Shares(vec![0.0, 1.0, 0.5])).row(0, &mut [1e4, -1e4, 0.0]) - 2e4 - 2f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn what_is_held_out_is_told_and_not_learned_from() {
        let part = Part { outputs: 1, wanted: Wanted::Values { values: vec![0.0, 0.0], huber: None } };
        let mut outputs = [9.0, 2.0, 9.0, 4.0];
        let weights = [Weight { learned: 0.5, held: 0.0 }, Weight { learned: 0.0, held: 1.0 }];
        let mut sums = Sums::default();
        part.add(0, &weights, &mut outputs, (2, 1), &mut sums);
        assert_eq!((sums.learned, sums.held, outputs), (1.0, 8.0, [9.0, 1.0, 9.0, 0.0]));
    }
}
