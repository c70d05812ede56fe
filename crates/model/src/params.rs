//! Parameters by path, in one fixed order.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, backend::Backend};

use crate::decoder::from_host;

/// Walks over a module's parameters, `h.0.attn.q_proj.weight` and so on, always in the same order.
#[derive(Debug)]
pub struct Params;

impl Params {
    /// Reads each parameter: path, shape, values.
    pub fn for_each<B: Backend, M: Module<B>>(module: &M, each: impl FnMut(&str, &[usize], Vec<f32>)) {
        module.visit(&mut Reader { path: Vec::new(), each });
    }

    /// Path and number of values of each parameter.
    pub fn sizes<B: Backend, M: Module<B>>(module: &M) -> Vec<(String, usize)> {
        let mut counter = Counter { path: Vec::new(), sizes: Vec::new() };
        module.visit(&mut counter);
        counter.sizes
    }

    /// Replaces the values of each parameter by what `each` makes of its path and shape; none keeps them.
    ///
    /// # Panics
    /// If `each` returns another number of values than the shape has.
    pub fn for_each_mut<B: Backend, M: Module<B>>(
        module: &mut M,
        each: impl FnMut(&str, &[usize]) -> Option<Vec<f32>>,
    ) {
        let mut writer = Writer { path: Vec::new(), each };
        *module = module.clone().map(&mut writer);
    }

    /// Has gradients recorded for the parameters that `is_trained` chooses by path, and for no others.
    pub fn require_gradients<B: Backend, M: Module<B>>(module: M, is_trained: impl Fn(&str) -> bool) -> M {
        module.map(&mut Chooser { path: Vec::new(), is_trained })
    }
}

/// Number of parameters, tied ones once.
pub fn n_parameters<B: Backend, M: Module<B>>(module: &M) -> u64 {
    module.num_params() as u64
}

struct Reader<F> {
    path: Vec<String>,
    each: F,
}

impl<B: Backend, F: FnMut(&str, &[usize], Vec<f32>)> ModuleVisitor<B> for Reader<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let tensor = param.val();
        let shape = tensor.dims();
        let values = tensor.into_data().convert::<f32>().into_vec().expect("converted to f32 just above");
        (self.each)(&self.path.join("."), &shape, values);
    }
}

struct Counter {
    path: Vec<String>,
    sizes: Vec<(String, usize)>,
}

impl<B: Backend> ModuleVisitor<B> for Counter {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.sizes.push((self.path.join("."), param.dims().iter().product()));
    }
}

struct Writer<F> {
    path: Vec<String>,
    each: F,
}

impl<B: Backend, F: FnMut(&str, &[usize]) -> Option<Vec<f32>>> ModuleMapper<B> for Writer<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let path = self.path.join(".");
        let shape = param.dims();
        match (self.each)(&path, &shape) {
            Some(values) => param.map(|tensor| {
                let requires_grad = tensor.is_require_grad();
                from_host(values, shape, &tensor.device()).set_require_grad(requires_grad)
            }),
            None => param,
        }
    }
}

struct Chooser<F> {
    path: Vec<String>,
    is_trained: F,
}

impl<B: Backend, F: Fn(&str) -> bool> ModuleMapper<B> for Chooser<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let is_trained = (self.is_trained)(&self.path.join("."));
        param.set_require_grad(is_trained)
    }
}
