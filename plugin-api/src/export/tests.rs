//! The boundary under strain: wrong methods, panics on either side, long errors, tensors that outlive a call.

use super::*;
use crate::services::{Seed, Service};
use crate::{
    Checkpoint, Host, ImportanceEstimator, ImportanceScores, LayerOutline, LayerReplacer, Module, Strategy, Substitute,
    Tensor,
};

/// A host that makes zeros and seeds, and counts what is released.
#[derive(Default)]
struct TestHost {
    made: Handle,
    released: Rc<Released>,
}

#[derive(Default)]
struct Released(std::cell::Cell<u64>);

impl ReleaseTensor for Released {
    fn release(&self, _: Handle) {
        self.0.set(self.0.get() + 1);
    }
}

impl TestHost {
    fn live_tensors(&self) -> u64 {
        self.made - self.released.0.get()
    }
}

impl HostServices for TestHost {
    fn tensor_op(
        &mut self,
        op: TensorOp,
        _: &[Handle],
        _: OpArguments<'_>,
        outputs: &mut [Handle; MAX_OUTPUTS],
    ) -> Result<usize, PluginError> {
        assert_eq!(op, TensorOp::Zeros);
        self.made += 1;
        outputs[0] = self.made;
        Ok(1)
    }
    fn tensor_from_f32(&mut self, _: &[f32], _: &[i64]) -> Result<Handle, PluginError> {
        Err(PluginError::host("no values"))
    }
    fn tensor_view(&mut self, _: Handle) -> Result<DlTensor, PluginError> {
        Err(PluginError::host("no views"))
    }
    fn request(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
        if name == Seed::NAME { Seed::answer(question, |_| Ok(7)) } else { Err(crate::unknown_service(name)) }
    }
    fn releaser(&self) -> Rc<dyn ReleaseTensor> {
        Rc::clone(&self.released) as Rc<dyn ReleaseTensor>
    }
}

/// A fault of the test strategy; also the JSON of its options.
#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Fault {
    None,
    PanicAtCreation,
    PanicInCall,
    PanicInDrop,
    PanicWithPanickingPayload,
    Error,
    LongError,
    HostPanic,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FaultyOptions {
    fault: Fault,
}

impl Default for FaultyOptions {
    fn default() -> Self {
        Self { fault: Fault::None }
    }
}

struct Faulty {
    fault: Fault,
    kept: Option<Tensor>,
}

struct PanicsOnDrop;
impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("a payload that panics");
    }
}

impl Strategy for Faulty {
    type Options = FaultyOptions;
    fn new(FaultyOptions { fault }: FaultyOptions) -> Result<Self, PluginError> {
        assert!(fault != Fault::PanicAtCreation, "at creation");
        Ok(Self { fault, kept: None })
    }
}

impl ImportanceEstimator for Faulty {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        match self.fault {
            Fault::PanicInCall => panic!("in the call of {:?}", self.fault),
            Fault::PanicWithPanickingPayload => std::panic::panic_any(PanicsOnDrop),
            Fault::Error => return Err(PluginError::failed("no data").with_help("add some")),
            Fault::LongError => return Err(PluginError::failed("x".repeat(10_000_000))),
            _ => {}
        }
        self.kept = Some(host.zeros(&[2, 3])?);
        Ok(ImportanceScores { scores: vec![host.seed("test")? as f32] })
    }
}

impl Checkpoint for Faulty {}

impl Drop for Faulty {
    fn drop(&mut self) {
        if matches!(self.fault, Fault::PanicInDrop) {
            std::panic::panic_any(PanicsOnDrop);
        }
    }
}

struct Dropped;
impl Strategy for Dropped {
    type Options = FaultyOptions;
    fn new(_: FaultyOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
}
impl LayerReplacer for Dropped {
    fn substitute(&mut self, _: &LayerOutline, _: &mut Host) -> Result<Substitute, PluginError> {
        Ok(Substitute::frozen(Module::Identity))
    }
}

impl Checkpoint for Dropped {}

crate::export_plugin! {
    name: "faulty",
    about: "Fails as it is told.",
    built_in,
    strategies: {
        "faulty": importance Faulty, "Fails as it is told.";
        "dropped": replace Dropped, "Replaces by the identity.";
    }
}

fn create(strategy: &str, fault: &str) -> Result<RawStrategy, PluginError> {
    let options = format!("{{\"fault\": \"{fault}\"}}");
    let made = (scaleot_root_module().create())(strategy.into(), options.as_bytes().into()).into_result();
    made.map_err(|error| read_error(&error))
}

fn estimate(fault: &str) -> Result<Vec<u8>, PluginError> {
    create("faulty", fault)?.call(Method::Estimate, b"null", &mut TestHost::default())
}

fn code_and_text(outcome: Result<Vec<u8>, PluginError>) -> (ErrorCode, String) {
    let error = outcome.unwrap_err();
    (error.code, error.to_string())
}

#[test]
fn a_method_of_another_kind_is_refused() {
    let mut host = TestHost::default();
    let (code, text) = code_and_text(create("dropped", "none").unwrap().call(Method::Estimate, b"null", &mut host));
    assert_eq!((code, text.as_str()), (ErrorCode::Unsupported, "Estimate was asked of a strategy of another kind"));
    let (code, _) = code_and_text(create("faulty", "none").unwrap().call(Method::Compress, b"null", &mut host));
    assert_eq!(code, ErrorCode::Unsupported);
}

#[test]
fn an_unknown_method_is_refused() {
    let mut host = TestHost::default();
    let (code, text) = code_and_text(create("faulty", "none").unwrap().call_code(99, b"null", &mut host));
    assert_eq!(code, ErrorCode::Unsupported);
    assert_eq!(text, "this plugin has no method 99; the host is newer than the plugin: rebuild the plugin");
}

#[test]
fn a_question_that_cannot_be_read_is_an_error() {
    let mut host = TestHost::default();
    let (code, text) = code_and_text(create("dropped", "none").unwrap().call(Method::Substitute, b"{", &mut host));
    assert_eq!(code, ErrorCode::Failed);
    assert!(text.contains("cannot be read"), "{text}");
}

#[test]
fn an_unknown_strategy_is_refused_by_name() {
    let error = create("fautly", "none").map(drop).unwrap_err();
    assert_eq!(error, PluginError::unsupported("no strategy is named \"fautly\"; there are faulty, dropped"));
}

#[test]
fn an_error_arrives_whole() {
    let error = estimate("error").unwrap_err();
    assert_eq!(error, PluginError::failed("no data").with_help("add some"));
    assert_eq!(estimate("long_error").unwrap_err().message.len(), 10_000_000);
}

#[test]
fn panics_become_errors() {
    let error = create("faulty", "panic_at_creation").map(drop).unwrap_err();
    assert_eq!(error, PluginError::new(ErrorCode::Panicked, "panicked: at creation"));
    let error = estimate("panic_in_call").unwrap_err();
    assert_eq!(error, PluginError::new(ErrorCode::Panicked, "panicked: in the call of PanicInCall"));
    let error = estimate("panic_with_panicking_payload").unwrap_err();
    assert_eq!(error, PluginError::new(ErrorCode::Panicked, "panicked: no message"));
    estimate("panic_in_drop").unwrap();
}

#[test]
fn a_panic_while_strategies_are_listed_becomes_an_error() {
    fn entries() -> &'static [StrategyEntry] {
        panic!("in a schema")
    }
    let made = create_strategy(entries, "any".into(), (&b"{}"[..]).into()).into_result().map(drop);
    assert_eq!(read_error(&made.unwrap_err()).message, "panicked: in a schema");
    assert_eq!(describe_plugin(|| panic!("in a schema")).as_str(), "");
}

#[test]
fn options_are_refused_by_name() {
    let refused = |options: &str| {
        let made = (scaleot_root_module().create())("faulty".into(), options.as_bytes().into()).into_result();
        read_error(&made.map(drop).unwrap_err())
    };
    let wrong = refused(r#"{"fault": "no_such_fault"}"#);
    assert_eq!(wrong.code, ErrorCode::Options);
    assert!(wrong.message.starts_with("fault: unknown variant `no_such_fault`, expected one of `none`,"), "{wrong}");
    assert_eq!(refused(r#"{"fautl": 1}"#).message, "fautl: unknown field `fautl`, expected `fault`");
    assert_eq!(refused("[]{}").code, ErrorCode::Options);
    assert_eq!(refused("{} {}").code, ErrorCode::Options);
    assert_eq!(refused("").code, ErrorCode::Options);
}

/// A host whose every service panics.
struct PanickingHost;
impl ReleaseTensor for PanickingHost {
    fn release(&self, _: Handle) {}
}
impl HostServices for PanickingHost {
    fn tensor_op(
        &mut self,
        _: TensorOp,
        _: &[Handle],
        _: OpArguments<'_>,
        _: &mut [Handle; MAX_OUTPUTS],
    ) -> Result<usize, PluginError> {
        panic!("out of memory")
    }
    fn tensor_from_f32(&mut self, _: &[f32], _: &[i64]) -> Result<Handle, PluginError> {
        panic!("out of memory")
    }
    fn tensor_view(&mut self, _: Handle) -> Result<DlTensor, PluginError> {
        panic!("out of memory")
    }
    fn request(&mut self, _: &str, _: &[u8]) -> Result<Vec<u8>, PluginError> {
        panic!("out of memory")
    }
    fn releaser(&self) -> Rc<dyn ReleaseTensor> {
        Rc::new(PanickingHost)
    }
}

#[test]
fn a_panic_of_the_host_is_not_blamed_on_the_plugin() {
    let error = create("faulty", "host_panic").unwrap().call(Method::Estimate, b"null", &mut PanickingHost);
    assert_eq!(error.unwrap_err(), PluginError::host("the host panicked: out of memory"));
}

#[test]
fn a_newer_plugin_is_told_what_an_older_host_lacks() {
    let mut host = TestHost::default();
    let mut services: &mut dyn HostServices = &mut host;
    let context = host_table::context(&mut services);
    let mut outputs = [0; MAX_OUTPUTS];
    let run = context.table.tensor_op();
    let outputs = RSliceMut::from_mut_slice(outputs.as_mut_slice());
    let made = run(context.services, 9999, (&[][..]).into(), (&[][..]).into(), (&[][..]).into(), outputs);
    let error = read_error(&made.into_result().unwrap_err());
    assert_eq!(error.code, ErrorCode::Unsupported);
    assert!(error.message.contains("9999"), "{error}");
    let error = BoundServices { context, releaser: None }.request("telepathy", b"null").unwrap_err();
    assert_eq!(error, crate::unknown_service("telepathy"));
}

#[test]
fn a_tensor_that_is_kept_between_calls_lives_until_the_strategy_is_dropped() {
    let mut host = TestHost::default();
    let mut strategy = create("faulty", "none").unwrap();
    for _ in 0..3 {
        strategy.call(Method::Estimate, b"null", &mut host).unwrap();
        assert_eq!(host.live_tensors(), 1, "the one before is released when the next takes its place");
    }
    drop(strategy);
    assert_eq!(host.live_tensors(), 0);
}

#[test]
fn the_record_is_readable() {
    let record: PluginRecord = serde_json::from_str(&(scaleot_root_module().describe())()).unwrap();
    assert_eq!(record.strategies.len(), 2);
    assert_eq!(record.api_version, API_VERSION);
    let (major, minor) = api_version();
    assert!(API_VERSION.starts_with(&format!("{major}.{minor}.")), "the numbers of the root module are its");
}
