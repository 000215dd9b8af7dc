//! One tensor that an architecture has: its name, its shape, and how timm would draw it.

/// A tensor of an architecture.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// timm's name.
    pub name: String,
    pub shape: Vec<usize>,
    /// Its fresh values.
    pub init: Init,
}

/// How fresh values are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All the same.
    Constant(f32),
    /// Evenly from minus this bound to this bound.
    Uniform(f64),
    /// Of mean 0 and this deviation.
    Normal(f64),
}

impl Expected {
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, init: Init) -> Expected {
        Expected { name: name.into(), shape: shape.into(), init }
    }

    /// How many numbers it holds.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Init {
    pub const ZEROS: Init = Init::Constant(0.0);
    pub const ONES: Init = Init::Constant(1.0);

    /// Normal by the values each input spreads to (He et al. 2015, fan-out).
    pub fn fan_out(outputs: usize, kernel: usize) -> Init {
        Init::Normal((2.0 / (outputs * kernel * kernel) as f64).sqrt())
    }

    /// Uniform within `1 / sqrt(inputs)`, as PyTorch draws a layer that nobody else draws.
    pub fn fan_in(inputs: usize) -> Init {
        Init::Uniform(1.0 / (inputs as f64).sqrt())
    }
}

/// Scale and shift of the norm called `module`.
pub fn norm(module: &str, width: usize) -> [Expected; 2] {
    [Expected::new(format!("{module}.weight"), [width], Init::ONES), Expected::new(format!("{module}.bias"), [width], Init::ZEROS)]
}
