//! The host's answers to a plugin during one call: tensor algebra here and in `low_rank`, named questions by the stage that calls.

use super::arena::Arena;
use super::{libtorch_tier, low_rank};
use crate::isolation::active_call;
use scaleot_plugin_api::services::{LendTensor, Service as _, TakeTensor, TruncatedSvds};
use scaleot_plugin_api::{
    DlTensor, ErrorCode, Handle, HostServices, MAX_OUTPUTS, Method, OpArguments, PluginError, ReleaseTensor, TensorOp,
    check_offered, unknown_service,
};
use scaleot_tensor::{Device, Dtype, NormalStream, Tensor, TensorError};
use std::rc::Rc;

/// The answers of a stage: outline, losses, training steps, notices. Both sides in JSON.
pub trait Questions {
    /// Answers one question.
    ///
    /// # Errors
    /// [`unknown_service`] for a name that this stage does not answer.
    fn answer(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError>;

    /// As [`answer`](Self::answer), for answers with tensors in them: `give` makes a tensor the plugin's.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    fn answer_with(&mut self, name: &str, question: &[u8], _give: Give<'_>) -> Result<Vec<u8>, PluginError> {
        self.answer(name, question)
    }
}

/// Makes a tensor the plugin's, and tells its handle.
pub type Give<'a> = &'a dyn Fn(Tensor) -> Handle;

/// For calls in which nothing may be asked.
pub struct NoQuestions;

impl Questions for NoQuestions {
    fn answer(&mut self, name: &str, _: &[u8]) -> Result<Vec<u8>, PluginError> {
        Err(unknown_service(name).with_help("this service is not offered during this call"))
    }
}

/// The services of one call.
pub struct Services<'a> {
    arena: Rc<Arena>,
    questions: &'a mut dyn Questions,
    during: Option<Method>,
}

impl<'a> Services<'a> {
    /// Services over a strategy's tensors and a stage's answers.
    pub fn new(arena: &Rc<Arena>, questions: &'a mut dyn Questions) -> Self {
        Self { arena: Rc::clone(arena), questions, during: None }
    }

    /// The same, offering what the contract offers during a call of this method.
    #[must_use]
    pub fn during(mut self, method: Method) -> Self {
        self.during = Some(method);
        self
    }

    fn compute(&self, op: TensorOp, inputs: &[Handle], arguments: OpArguments<'_>) -> Result<Vec<Tensor>, PluginError> {
        let tensors = inputs.iter().map(|&handle| self.arena.get(handle)).collect::<Result<Vec<_>, _>>()?;
        if let Some(made) = create(op, arguments) {
            return Ok(vec![made?]);
        }
        if op == TensorOp::Cat {
            let dim = arguments.ints.first().copied().unwrap_or(0);
            return Ok(vec![Tensor::cat(&tensors, dim).map_err(refused)?]);
        }
        match &tensors[..] {
            [a, b] => Ok(vec![binary(op, a, b)?]),
            [a] => unary(op, a, arguments),
            other => Err(arity(op, other.len())),
        }
    }
}

impl HostServices for Services<'_> {
    fn tensor_op(
        &mut self,
        op: TensorOp,
        inputs: &[Handle],
        arguments: OpArguments<'_>,
        outputs: &mut [Handle; MAX_OUTPUTS],
    ) -> Result<usize, PluginError> {
        let _turn = active_call::answer();
        let made = self.compute(op, inputs, arguments)?;
        let count = made.len();
        for (slot, tensor) in outputs.iter_mut().zip(made) {
            *slot = self.arena.put(tensor);
        }
        Ok(count)
    }

    fn tensor_from_f32(&mut self, values: &[f32], shape: &[i64]) -> Result<Handle, PluginError> {
        let _turn = active_call::answer();
        Ok(self.arena.put(Tensor::from_f32(values, shape).map_err(refused)?))
    }

    fn tensor_view(&mut self, handle: Handle) -> Result<DlTensor, PluginError> {
        let _turn = active_call::answer();
        self.arena.view(handle)
    }

    fn request(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
        let _turn = active_call::answer();
        self.during.map_or(Ok(()), |method| check_offered(method, name))?;
        match name {
            TruncatedSvds::NAME => TruncatedSvds::answer(question, |cuts| low_rank::answer(&self.arena, &cuts)),
            LendTensor::NAME | TakeTensor::NAME => libtorch_tier::answer(&self.arena, name, question),
            _ => {
                let arena = Rc::clone(&self.arena);
                self.questions.answer_with(name, question, &|tensor| arena.put(tensor))
            }
        }
    }

    fn releaser(&self) -> Rc<dyn ReleaseTensor> {
        Rc::clone(&self.arena) as Rc<dyn ReleaseTensor>
    }
}

/// Operations that take no tensor.
fn create(op: TensorOp, arguments: OpArguments<'_>) -> Option<Result<Tensor, PluginError>> {
    let scale = arguments.floats.first().copied().unwrap_or(1.0) as f32;
    let seeded = || arguments.ints.split_first().map_or((0, &[][..]), |(seed, shape)| (seed.cast_unsigned(), shape));
    let made = match op {
        TensorOp::Zeros => Tensor::zeros(arguments.ints, Dtype::F32, Device::Cpu),
        TensorOp::RandomNormal => {
            let (seed, shape) = seeded();
            NormalStream::new(seed, 0).tensor(shape, scale)
        }
        TensorOp::RandomUniform => {
            let (seed, shape) = seeded();
            NormalStream::new(seed, 0).uniform_tensor(shape, scale)
        }
        _ => return None,
    };
    Some(made.map_err(refused))
}

fn binary(op: TensorOp, a: &Tensor, b: &Tensor) -> Result<Tensor, PluginError> {
    let made = match op {
        TensorOp::Add => a.add(b),
        TensorOp::Sub => a.sub(b),
        TensorOp::Mul => a.mul(b),
        TensorOp::Div => a.div(b),
        TensorOp::MatMul => a.matmul(b),
        _ => return Err(arity(op, 2)),
    };
    made.map_err(refused)
}

fn unary(op: TensorOp, a: &Tensor, arguments: OpArguments<'_>) -> Result<Vec<Tensor>, PluginError> {
    let one = match op {
        TensorOp::Affine => {
            let (factor, term) = match *arguments.floats {
                [factor, term] => (factor, term),
                _ => return Err(PluginError::host("Affine needs a factor and a term")),
            };
            a.mul_scalar(factor).and_then(|scaled| scaled.add_scalar(term))
        }
        TensorOp::Transpose => a.transpose(0, 1),
        TensorOp::Narrow => match *arguments.ints {
            [dim, start, length] => a.narrow(dim, start, length),
            _ => return Err(PluginError::host("Narrow needs a dimension, a start and a length")),
        },
        TensorOp::Sum => arguments.ints.first().map_or_else(|| a.sum_all(), |&dim| a.sum(dim, false)),
        TensorOp::Mean => arguments.ints.first().map_or_else(|| a.mean_all(), |&dim| a.mean(dim, false)),
        TensorOp::Norm => a.norm(),
        TensorOp::Abs => a.abs(),
        TensorOp::Sqrt => a.sqrt(),
        TensorOp::Exp => a.exp(),
        // The contract: an independent copy, fp32, in order, on the CPU.
        TensorOp::Copy => a
            .to_device(Device::Cpu)
            .and_then(|near| near.to_dtype(Dtype::F32))
            .and_then(|plain| plain.contiguous())
            .and_then(|ordered| ordered.deep_copy()),
        TensorOp::Svd => {
            let svd = a.svd().map_err(|error| not_factorised(a, error))?;
            return Ok(vec![svd.u, svd.s, svd.v]);
        }
        TensorOp::SymmetricEigen => {
            let (values, vectors) = a.eigh().map_err(|error| not_factorised(a, error))?;
            return Ok(vec![values, vectors]);
        }
        _ => return Err(arity(op, 1)),
    };
    Ok(vec![one.map_err(refused)?])
}

fn refused(error: TensorError) -> PluginError {
    PluginError::host(error.to_string())
}

/// A factorisation that fails on numbers is numeric, on anything else a refusal.
fn not_factorised(a: &Tensor, error: TensorError) -> PluginError {
    let numeric = a.rank() == 2 && a.dtype().is_float();
    PluginError::new(if numeric { ErrorCode::Numeric } else { ErrorCode::Host }, error.to_string())
}

fn arity(op: TensorOp, found: usize) -> PluginError {
    PluginError::host(format!("{op:?} does not take {found} tensors"))
}
