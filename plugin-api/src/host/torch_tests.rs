//! The plugin's half of the tier against a host that is a table of libtorch tensors.

use crate::Host;
use crate::error::PluginError;
use crate::services::carrier::{HostServices, MAX_OUTPUTS, OpArguments, TensorOp};
use crate::services::{LendTensor, Service, TakeTensor, unknown_service};
use crate::tensor::{DlTensor, Handle, ReleaseTensor, Tensor};
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Default)]
struct Table(RefCell<Vec<Option<tch::Tensor>>>);

impl Table {
    fn put(&self, tensor: tch::Tensor) -> Handle {
        self.0.borrow_mut().push(Some(tensor));
        self.0.borrow().len() as Handle - 1
    }
}

impl ReleaseTensor for Table {
    fn release(&self, handle: Handle) {
        self.0.borrow_mut()[handle as usize] = None;
    }
}

struct TorchHost(Rc<Table>);

impl HostServices for TorchHost {
    fn tensor_op(
        &mut self,
        op: TensorOp,
        _: &[Handle],
        _: OpArguments<'_>,
        _: &mut [Handle; MAX_OUTPUTS],
    ) -> Result<usize, PluginError> {
        Err(PluginError::unsupported(format!("{op:?}")))
    }

    fn tensor_from_f32(&mut self, values: &[f32], shape: &[i64]) -> Result<Handle, PluginError> {
        Ok(self.0.put(tch::Tensor::from_slice(values).reshape(shape)))
    }

    fn tensor_view(&mut self, _: Handle) -> Result<DlTensor, PluginError> {
        Err(PluginError::unsupported("no views"))
    }

    fn request(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
        let number: u64 = serde_json::from_slice(question)?;
        let answer = match name {
            LendTensor::NAME => {
                let table = self.0.0.borrow();
                let lent = table[number as usize].as_ref().ok_or_else(|| PluginError::host("released"))?;
                lent.as_ptr().expose_provenance() as u64
            }
            TakeTensor::NAME => {
                let raw = std::ptr::with_exposed_provenance_mut(number as usize);
                // SAFETY: `from_tch` sends the address of a tensor that it borrows.
                self.0.put(unsafe { tch::Tensor::clone_from_ptr(raw) })
            }
            other => return Err(unknown_service(other)),
        };
        Ok(serde_json::to_vec(&answer)?)
    }

    fn releaser(&self) -> Rc<dyn ReleaseTensor> {
        Rc::clone(&self.0) as Rc<dyn ReleaseTensor>
    }
}

#[test]
fn memory_and_graph_are_shared_and_each_side_may_let_go_first() {
    let table = Rc::new(Table::default());
    let mut services = TorchHost(Rc::clone(&table));
    let weight = tch::Tensor::from_slice(&[1.0_f32, 2.0]).set_requires_grad(true);
    let mut host = Host::new(&mut services);
    let handle = Tensor::adopt(table.put(weight.shallow_clone()), Rc::clone(&table) as Rc<dyn ReleaseTensor>);

    let lent = host.to_tch(&handle).unwrap();
    assert_eq!(lent.data_ptr(), weight.data_ptr());
    assert!(lent.requires_grad());
    // The host lets go first.
    drop(handle);
    let square = host.from_tch(&(&lent * &lent)).unwrap();
    drop(lent);
    // The plugin lets go first: what it made is still the host's.
    let number = square.handle() as usize;
    let kept = table.0.borrow()[number].as_ref().map(tch::Tensor::shallow_clone).unwrap();
    drop(square);
    kept.sum(tch::Kind::Float).backward();
    assert_eq!(Vec::<f32>::try_from(weight.grad()).unwrap(), [2.0, 4.0]);
    assert!(table.0.borrow().iter().all(Option::is_none), "every handle was released");
}

#[test]
fn the_record_names_the_libtorch() {
    let record = crate::PluginRecord::new("any", "1.0.0", "Any.", &[]);
    assert_eq!(record.libtorch.as_deref(), Some("2.11"));
}
