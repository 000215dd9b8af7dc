//! Inception modules (Szegedy et al. 2014) as I3D and S3D have them: four branches over clips.

use super::super::plan::Part;

/// Channels of each module: of what comes in, of the 1x1 branch, of the two 3x3 branches narrowed and wide, and of the pooled branch.
pub struct Widths {
    pub input: usize,
    pub single: usize,
    pub first: (usize, usize),
    pub second: (usize, usize),
    pub pooled: usize,
}

impl Widths {
    const fn new(input: usize, single: usize, first: (usize, usize), second: (usize, usize), pooled: usize) -> Widths {
        Widths { input, single, first, second, pooled }
    }

    /// What the branches make together.
    #[cfg(test)]
    pub fn output(&self) -> usize {
        self.single + self.first.1 + self.second.1 + self.pooled
    }
}

/// Modules 3b and 3c, 4b to 4f, 5b and 5c.
pub static MODULES: [&[Widths]; 3] = [
    &[Widths::new(192, 64, (96, 128), (16, 32), 32), Widths::new(256, 128, (128, 192), (32, 96), 64)],
    &[
        Widths::new(480, 192, (96, 208), (16, 48), 64),
        Widths::new(512, 160, (112, 224), (24, 64), 64),
        Widths::new(512, 128, (128, 256), (24, 64), 64),
        Widths::new(512, 112, (144, 288), (32, 64), 64),
        Widths::new(528, 256, (160, 320), (32, 128), 128),
    ],
    &[Widths::new(832, 256, (160, 320), (32, 128), 128), Widths::new(832, 384, (192, 384), (48, 128), 128)],
];

/// What the last module makes.
pub const FEATURES: usize = 1024;

/// A module of four branches, each made of the parts given.
pub fn module(single: Vec<Part>, first: Vec<Part>, second: Vec<Part>, pooled: Vec<Part>) -> Part {
    Part::Branches(vec![single, first, second, pooled])
}
