//! What a stage costs, as whoever plans a run counts it.

/// Of one item, forward.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageCost {
    pub multiply_adds: f64,
    /// Values that its convolutions, squeezes, linear layers and attentions write.
    pub outputs: f64,
    /// The most that one of them writes or reads.
    pub widest: f64,
}

impl StageCost {
    /// Over so many items at once.
    pub fn times(self, items: f64) -> StageCost {
        StageCost { multiply_adds: self.multiply_adds * items, outputs: self.outputs * items, widest: self.widest * items }
    }

    /// Adds a convolution over `input` channels of a map of these sides; answers the sides of what it writes. All
    /// convolutions here pad so that only the stride shrinks a map.
    pub fn convolution(&mut self, sides: [usize; 2], (input, output): (usize, usize), layer: ConvolutionCost) -> [usize; 2] {
        let ConvolutionCost { kernel, stride, groups } = layer;
        let out = sides.map(|side| side.div_ceil(stride));
        let outputs = (out[0] * out[1] * output) as f64;
        self.outputs += outputs;
        self.multiply_adds += outputs * (kernel * kernel * input / groups) as f64;
        self.widest = self.widest.max(outputs).max((sides[0] * sides[1] * input) as f64);
        out
    }
}

/// The sizes of a convolution that decide its cost, besides its channels.
#[derive(Debug, Clone, Copy)]
pub struct ConvolutionCost {
    pub kernel: usize,
    pub stride: usize,
    pub groups: usize,
}
