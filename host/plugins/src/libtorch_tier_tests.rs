//! Tensors that cross by address, on the host's side: memory, graph, no-grad, lifetime; and the libraries that are refused by their bytes.

use super::*;
use crate::{NoQuestions, Services};
use scaleot_plugin_api::HostServices;
use scaleot_tensor::no_grad;
use std::rc::Rc;

fn lent(arena: &Rc<Arena>, handle: Handle) -> Tensor {
    let answer = ask(arena, LendTensor::NAME, handle).unwrap();
    // SAFETY: the arena holds the handle.
    unsafe { Tensor::clone_from_raw(std::ptr::with_exposed_provenance(usize::try_from(answer).unwrap())) }
}

fn taken(arena: &Rc<Arena>, tensor: &Tensor) -> Handle {
    ask(arena, TakeTensor::NAME, tensor.as_raw().expose_provenance() as u64).unwrap()
}

fn ask(arena: &Rc<Arena>, name: &str, number: u64) -> Result<u64, PluginError> {
    let answer = Services::new(arena, &mut NoQuestions).request(name, &serde_json::to_vec(&number)?)?;
    Ok(serde_json::from_slice(&answer)?)
}

fn weight() -> Tensor {
    Tensor::from_f32(&[3.0, -2.0], &[2]).unwrap().set_requires_grad(true).unwrap()
}

#[test]
fn gradients_flow_back_through_what_a_plugin_made() {
    let arena = Rc::new(Arena::new(true));
    let weight = weight();
    let handle = arena.put(weight.clone());
    let theirs = lent(&arena, handle);
    assert_eq!(theirs.data_ptr(), weight.data_ptr());
    let made = taken(&arena, &theirs.mul(&theirs).unwrap());
    // The plugin lets go of everything; the graph keeps what it needs.
    drop(theirs);
    let made = arena.take(made).unwrap();
    arena.take(handle).unwrap();
    assert!(arena.is_empty());
    made.sum_all().unwrap().backward().unwrap();
    assert_eq!(weight.grad().unwrap().unwrap().to_vec_f32().unwrap(), [6.0, -4.0]);
}

#[test]
fn a_tensor_outlives_its_handle_on_either_side() {
    let arena = Rc::new(Arena::new(true));
    let handle = arena.put(Tensor::from_f32(&[1.5, 2.5], &[2]).unwrap());
    let theirs = lent(&arena, handle);
    drop(arena.take(handle).unwrap());
    assert_eq!(theirs.to_vec_f32().unwrap(), [1.5, 2.5]);
    let handle = taken(&arena, &theirs);
    drop(theirs);
    assert_eq!(arena.get(handle).unwrap().to_vec_f32().unwrap(), [1.5, 2.5]);
}

#[test]
fn nothing_is_recorded_under_the_hosts_no_grad() {
    let arena = Rc::new(Arena::new(true));
    let handle = arena.put(weight());
    let made = {
        let _guard = no_grad();
        let theirs = lent(&arena, handle);
        taken(&arena, &theirs.mul(&theirs).unwrap())
    };
    assert!(!arena.get(made).unwrap().requires_grad());
    assert!(arena.get(handle).unwrap().requires_grad());
}

#[test]
fn what_is_no_tensor_is_refused() {
    let arena = Rc::new(Arena::new(true));
    for (name, number, says) in [
        (LendTensor::NAME, 7, "no tensor has the handle 7"),
        (TakeTensor::NAME, 0, "0x0 is no address of a tensor"),
        (TakeTensor::NAME, 3, "0x3 is no address of a tensor"),
    ] {
        assert!(ask(&arena, name, number).unwrap_err().message.contains(says), "{name} {number}");
    }
    let other_tier = Rc::new(Arena::default());
    let handle = other_tier.put(weight());
    let problem = ask(&other_tier, LendTensor::NAME, handle).unwrap_err();
    assert_eq!(problem.message, "this host has no service named \"lend_libtorch_tensor\"");
}

#[test]
fn a_library_of_another_libtorch_is_known_by_its_bytes() {
    let ours = libtorch_version();
    let ours = ours.rsplit_once('.').unwrap().0;
    let library =
        |version: &str| format!("\x7fELF\0libtorch_cpu.so\0{LIBTORCH_MARK}\0{LIBTORCH_MARK}{version}\0").into_bytes();
    assert_eq!(check_libtorch(&library(ours)), Ok(()));
    assert_eq!(check_libtorch(b"\x7fELF\0libc.so.6\0"), Ok(()));
    assert_eq!(
        check_libtorch(&library("2.10")).unwrap_err(),
        format!(
            "it was built for libtorch 2.10, this host runs libtorch {ours}; rebuild it with this host's scaleot-plugin-api"
        )
    );
    assert_eq!(
        check_libtorch(b"\x7fELF\0libtorch_cpu.so\0").unwrap_err(),
        format!(
            "it links libtorch, but does not say which; build it with the feature `tch` of this host's scaleot-plugin-api (libtorch {ours})"
        )
    );
}
