//! A host made of plain Rust, for tests of plugins: the whole algebra on fp32 arrays, and a model made of numbers.

use crate::algebra::{compute, truncated_svd};
use crate::array::Array;
use crate::libtorch::{Lent, Libtorch};
use crate::random::{Stream, seed_for};
use crate::toy_model::ToyModel;
use nalgebra::DMatrix;
use scaleot_plugin_api::services::{
    Curvatures, CurvePoints, LendTensor, Moments, Notices, Service, TakeTensor, TruncatedSvds, Weights,
};
use scaleot_plugin_api::{
    Curvature, CurvatureRequest, CurvePoint, DlTensor, ErrorCode, Handle, Host, HostServices, LayerMoments,
    LayerOutline, LayerWeights, MAX_OUTPUTS, Method, ModelOutline, MomentsRequest, Notice, OpArguments, PluginError,
    RankCut, ReleaseTensor, Tensor, TensorOp, TruncatedSvd, WeightRole, check_offered,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counted over all fake hosts, so that a tensor of another host is refused too.
static NEXT_HANDLE: AtomicU64 = AtomicU64::new(1);

/// Handles that were dropped since the host last looked.
#[derive(Default)]
struct Released(RefCell<Vec<Handle>>);

impl ReleaseTensor for Released {
    fn release(&self, handle: Handle) {
        self.0.borrow_mut().push(handle);
    }
}

/// A host for tests: no libtorch, no files, every value from a seed.
///
/// ```
/// use scaleot_plugin_api::{LayerMask, PluginError};
/// use scaleot_plugin_conformance::FakeHost;
///
/// let mut fake = FakeHost::toy(4, 8).with_layer_costs(&[0.1, 0.4, 0.2, 0.3]);
/// let full = LayerMask::all_original(4);
/// let losses = fake.host().losses(&[full.clone(), full.with_replaced(&[1, 2])])?;
/// assert!((losses[1] - losses[0] - 0.6).abs() < 1e-9);
/// assert_eq!(fake.live_tensors(), 0);
/// # Ok::<(), PluginError>(())
/// ```
pub struct FakeHost {
    model: ToyModel,
    arrays: HashMap<Handle, Array>,
    released: Rc<Released>,
    notices: Vec<Notice>,
    stop_after: Option<usize>,
    failing: BTreeMap<String, PluginError>,
    requests: BTreeMap<String, usize>,
    refusals: usize,
    checkpoints: Vec<Vec<u8>>,
    /// The host itself at each checkpoint: the model, and how many points its curves had.
    stood: Vec<(ToyModel, usize)>,
    curve: Vec<CurvePoint>,
    /// The call that the host is in; outside of one it answers everything.
    during: Option<Method>,
    lent: Lent,
}

impl FakeHost {
    /// A host with the model of [`ModelOutline::toy`].
    #[must_use]
    pub fn toy(n_layers: usize, hidden_size: usize) -> Self {
        Self::with_outline(ModelOutline::toy(n_layers, hidden_size), 0)
    }

    /// A host with any model, and the run's seed.
    #[must_use]
    pub fn with_outline(outline: ModelOutline, run_seed: u64) -> Self {
        Self {
            model: ToyModel::new(outline, run_seed),
            arrays: HashMap::new(),
            released: Rc::default(),
            notices: Vec::new(),
            stop_after: None,
            failing: BTreeMap::new(),
            requests: BTreeMap::new(),
            refusals: 0,
            checkpoints: Vec::new(),
            stood: Vec::new(),
            curve: Vec::new(),
            during: None,
            lent: Lent::own(),
        }
    }

    /// The growth of the loss when a layer is replaced, per layer, on every batch alike; layers without an entry cost nothing.
    /// Without this, costs differ from batch to batch.
    #[must_use]
    pub fn with_layer_costs(mut self, costs: &[f64]) -> Self {
        self.model.varies = false;
        self.model.costs = costs.to_vec();
        self.model.costs.resize(self.model.outline.n_layers(), 0.0);
        self
    }

    /// The layers whose substitute trains; without this, all do.
    ///
    /// # Panics
    /// Unless there is one entry per layer.
    #[must_use]
    pub fn with_trainable(mut self, trainable: &[bool]) -> Self {
        assert_eq!(trainable.len(), self.model.outline.n_layers(), "one entry per layer");
        self.model.trainable = trainable.to_vec();
        self
    }

    /// Plugins of the `tch` tier get tensors of this libtorch.
    #[must_use]
    pub fn with_libtorch(mut self, libtorch: &'static dyn Libtorch) -> Self {
        self.lent.libtorch = Some(libtorch);
        self
    }

    /// A host that stands where this one stood at a checkpoint, counted from 0: the same model, the same next batches.
    ///
    /// # Panics
    /// When there is no such checkpoint.
    #[must_use]
    pub fn resumed(&self, checkpoint: usize) -> Self {
        let (model, points) = &self.stood[checkpoint];
        let curve = self.curve[..*points].to_vec();
        Self { curve, ..self.with_model(model.clone()) }
    }

    /// A host that stands where this one stands now, without its tensors and its records.
    #[must_use]
    pub fn as_now(&self) -> Self {
        self.with_model(self.model.clone())
    }

    fn with_model(&self, model: ToyModel) -> Self {
        let mut fresh = Self::with_outline(model.outline.clone(), model.run_seed);
        fresh.lent.libtorch = self.lent.libtorch;
        Self { model, ..fresh }
    }

    /// True where another host's model is as this one's: the same substitutes, the same next batches.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.model == other.model
    }

    /// The call that the next questions belong to.
    pub(crate) fn set_during(&mut self, method: Option<Method>) {
        self.during = method;
    }

    /// From the next progress notice but `notices` on, the person asks to stop.
    pub fn stop_after(&mut self, notices: usize) {
        self.stop_after = Some(notices);
    }

    /// From now on, questions of this service fail so.
    ///
    /// ```
    /// use scaleot_plugin_api::{PluginError, services};
    /// use scaleot_plugin_conformance::FakeHost;
    ///
    /// let mut fake = FakeHost::toy(2, 4);
    /// fake.fail::<services::Seed>(PluginError::host("no seed today"));
    /// assert!(fake.host().seed("order").is_err());
    /// assert_eq!(fake.requests::<services::Seed>(), 1);
    /// ```
    pub fn fail<S: Service>(&mut self, error: PluginError) {
        self.fail_named(S::NAME, error);
    }

    /// As [`fail`](Self::fail), by the service's name.
    pub(crate) fn fail_named(&mut self, service: &str, error: PluginError) {
        self.failing.insert(service.into(), error);
    }

    /// The host as a plugin sees it.
    pub fn host(&mut self) -> Host<'_> {
        Host::new(self)
    }

    /// The model's outline.
    #[must_use]
    pub fn outline(&self) -> &ModelOutline {
        &self.model.outline
    }

    /// The notices so far.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The number of questions of this service.
    #[must_use]
    pub fn requests<S: Service>(&self) -> usize {
        self.requests.get(S::NAME).copied().unwrap_or(0)
    }

    /// The number of requests that were refused on purpose, by [`fail`](Self::fail) or [`stop_after`](Self::stop_after).
    #[must_use]
    pub fn refusals(&self) -> usize {
        self.refusals
    }

    /// The states that came with [`Host::progress`], oldest first; a run keeps those of `prepare` and `estimate`.
    #[must_use]
    pub fn checkpoints(&self) -> &[Vec<u8>] {
        &self.checkpoints
    }

    /// The points of [`Host::record`], oldest first.
    #[must_use]
    pub fn curve(&self) -> &[CurvePoint] {
        &self.curve
    }

    /// The number of tensors that are alive: none must be when a strategy and what it gave back are dropped.
    pub fn live_tensors(&mut self) -> usize {
        self.sweep();
        self.arrays.len()
    }

    /// The weights of a layer: normal values, seeded by layer and role; norms near 1.
    ///
    /// # Panics
    /// When the model has no such layer.
    pub fn layer_weights(&mut self, layer_index: usize) -> LayerWeights {
        let outline = self.layer_outline(layer_index);
        let weights = self.weight_handles(layer_index, 1.0).into_iter();
        let adopt = |(role, handle)| (role, Tensor::adopt(handle, Rc::clone(&self.released) as Rc<dyn ReleaseTensor>));
        LayerWeights::new(outline, weights.map(adopt).collect())
    }

    pub(crate) fn layer_outline(&self, layer_index: usize) -> LayerOutline {
        let layers = &self.model.outline.layers;
        assert!(layer_index < layers.len(), "the model has {} layers, none is number {layer_index}", layers.len());
        layers[layer_index].clone()
    }

    /// The values of [`layer_weights`](Self::layer_weights), times `scale`.
    pub(crate) fn weight_values(&self, layer: &LayerOutline, scale: f64) -> Vec<(WeightRole, Array)> {
        let values = |role: WeightRole, shape: &[usize]| {
            let mut stream = Stream::new(seed_for(self.model.run_seed, &format!("layer {} {role}", layer.index)));
            let deviation = 1.0 / (shape.last().copied().unwrap_or(1) as f64).sqrt();
            let mut draw = || if role.is_matrix() { deviation * stream.normal() } else { 1.0 + 0.1 * stream.normal() };
            (0..shape.iter().product()).map(|_| (scale * draw()) as f32).collect()
        };
        let arrays = layer.weights.iter().filter_map(|weight| {
            let shape: Vec<_> = weight.shape.iter().map(|&size| super::array::signed(size)).collect();
            Some((weight.role, Array::new(values(weight.role, &weight.shape), &shape).ok()?))
        });
        arrays.collect()
    }

    pub(crate) fn weight_handles(&mut self, layer_index: usize, scale: f64) -> Vec<(WeightRole, Handle)> {
        let layer = self.layer_outline(layer_index);
        self.weight_values(&layer, scale).into_iter().map(|(role, array)| (role, self.put(array))).collect()
    }

    /// Moments of random inputs and gradients, four for every dimension.
    fn layer_curvature(
        &mut self,
        request: CurvatureRequest,
    ) -> Result<Vec<(WeightRole, Curvature<Handle>)>, PluginError> {
        let n_layers = self.model.outline.n_layers();
        let none = || PluginError::host(format!("{request:?} of a model with {n_layers} layers"));
        let layer = self.model.outline.layers.get(request.layer).filter(|_| request.windows > 0).ok_or_else(none)?;
        let mut found = Vec::new();
        for weight in layer.weights.clone() {
            let &[rows, cols] = weight.shape.as_slice() else { continue };
            let purpose = format!("curvature {} {}", request.layer, weight.role);
            let mut stream = Stream::new(seed_for(self.model.run_seed, &purpose));
            let tokens = 4 * rows.max(cols);
            let mut draw = |width| DMatrix::from_fn(tokens, width, |_, _| stream.normal());
            let (x, g) = (draw(cols), draw(rows));
            let mean = |a: &DMatrix<f64>, b: &DMatrix<f64>| Array::from_matrix(&(a.transpose() * b / tokens as f64));
            let curvature = Curvature::new(mean(&x, &x), mean(&g, &g), mean(&g, &x));
            found.push((weight.role, curvature.try_map::<_, PluginError>(&mut |array| Ok(self.put(array)))?));
        }
        Ok(found)
    }

    fn some_weights(&mut self, layer: usize, roles: &[WeightRole]) -> Result<Vec<(WeightRole, Handle)>, PluginError> {
        let n_layers = self.model.outline.n_layers();
        let none = || PluginError::host(format!("the model has {n_layers} layers, none is number {layer}"));
        let outline = self.model.outline.layers.get(layer).cloned().ok_or_else(none)?;
        let values = self.weight_values(&outline, 1.0).into_iter().filter(|(role, _)| roles.contains(role));
        Ok(values.map(|(role, array)| (role, self.put(array))).collect())
    }

    fn put(&mut self, array: Array) -> Handle {
        let handle = NEXT_HANDLE.fetch_add(1, Ordering::Relaxed);
        self.arrays.insert(handle, array);
        handle
    }

    fn get(&self, handle: Handle) -> Result<&Array, PluginError> {
        self.arrays.get(&handle).ok_or_else(|| unknown(handle))
    }

    /// Takes back a tensor that a plugin gave away.
    pub(crate) fn take(&mut self, handle: Handle) -> Result<Array, PluginError> {
        self.sweep();
        self.arrays.remove(&handle).ok_or_else(|| unknown(handle))
    }

    fn sweep(&mut self) {
        for handle in self.released.0.take() {
            self.arrays.remove(&handle);
            self.lent.forget(handle);
        }
    }

    fn lend(&mut self, handle: Handle) -> Result<u64, PluginError> {
        self.sweep();
        let array = self.arrays.get(&handle).ok_or_else(|| unknown(handle))?;
        self.lent.lend(handle, array)
    }

    /// Moments of a layer whose input has unit covariance and whose change is a thousandth of its input.
    fn layer_moments(&mut self, request: MomentsRequest) -> Result<LayerMoments<Handle>, PluginError> {
        let outline = &self.model.outline;
        if request.layer >= outline.n_layers() || request.windows == 0 {
            return Err(PluginError::host(format!("{request:?} of a model with {} layers", outline.n_layers())));
        }
        let width = outline.hidden_size;
        let side = super::array::signed(width);
        let diagonal = |scale: f32| {
            let values = (0..width * width).map(|at| if at % (width + 1) == 0 { scale } else { 0.0 }).collect();
            Array::new(values, &[side, side])
        };
        let moments = LayerMoments::new(
            Array::new(vec![0.0; width], &[side])?,
            Array::new(vec![0.0; width], &[side])?,
            diagonal(1.0)?,
            diagonal(1e-3)?,
        );
        moments.try_map(&mut |array| Ok(self.put(array)))
    }

    fn truncated_svds(&mut self, cuts: &[RankCut<Handle>]) -> Result<Vec<TruncatedSvd<Handle>>, PluginError> {
        self.sweep();
        let made = cuts.iter().map(|cut| truncated_svd(cut, self.get(cut.weight)?)).collect::<Result<Vec<_>, _>>()?;
        let answer = made.into_iter().map(|TruncatedSvd { form, singular_values, .. }| {
            let form = form.try_map::<_, PluginError>(&mut |array| Ok(self.put(array)))?;
            Ok(TruncatedSvd::new(form, self.put(singular_values)))
        });
        answer.collect()
    }

    /// Curves have ascending steps and rows of one length, as the host's own.
    fn record(&mut self, point: CurvePoint) -> Result<(), PluginError> {
        let refused = |what: String| Err(PluginError::host(format!("curve {}: {what}", point.curve)));
        if let Some(last) = self.curve.iter().rfind(|earlier| earlier.curve == point.curve) {
            if point.step <= last.step {
                return refused(format!("found step {} after {}, expected ascending steps", point.step, last.step));
            }
            if point.values.len() != last.values.len() {
                return refused(format!("found {} values, expected {}", point.values.len(), last.values.len()));
            }
        }
        if point.values.is_empty() {
            return refused("found no values, expected at least one".into());
        }
        self.curve.push(point);
        Ok(())
    }

    fn notice(&mut self, notice: Notice) -> Result<(), PluginError> {
        let progress = |notice: &Notice| matches!(notice, Notice::Progress { .. });
        let seen = self.notices.iter().filter(|notice| progress(notice)).count();
        // A tuning step is ended before the host stops.
        let stoppable = progress(&notice) && self.during != Some(Method::Step);
        let stop = stoppable && self.stop_after.is_some_and(|limit| seen >= limit);
        if let Notice::Progress { state, .. } = &notice
            && matches!(self.during, None | Some(Method::Prepare | Method::Estimate))
        {
            self.checkpoints.push(state.clone());
            self.stood.push((self.model.clone(), self.curve.len()));
        }
        self.notices.push(notice);
        if stop {
            self.refusals += 1;
            return Err(PluginError::new(ErrorCode::Interrupted, "the person asked to stop"));
        }
        Ok(())
    }
}

impl HostServices for FakeHost {
    fn tensor_op(
        &mut self,
        op: TensorOp,
        inputs: &[Handle],
        arguments: OpArguments<'_>,
        outputs: &mut [Handle; MAX_OUTPUTS],
    ) -> Result<usize, PluginError> {
        self.sweep();
        let inputs = inputs.iter().map(|&handle| self.get(handle)).collect::<Result<Vec<_>, _>>()?;
        let made = compute(op, &inputs, arguments)?;
        let count = made.len();
        for (slot, array) in outputs.iter_mut().zip(made) {
            *slot = self.put(array);
        }
        Ok(count)
    }

    fn tensor_from_f32(&mut self, values: &[f32], shape: &[i64]) -> Result<Handle, PluginError> {
        self.sweep();
        Ok(self.put(Array::new(values.to_vec(), shape)?))
    }

    fn tensor_view(&mut self, handle: Handle) -> Result<DlTensor, PluginError> {
        self.sweep();
        Ok(self.get(handle)?.view())
    }

    fn request(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
        *self.requests.entry(name.into()).or_default() += 1;
        if let Some(error) = self.failing.get(name) {
            self.refusals += 1;
            return Err(error.clone());
        }
        self.during.map_or(Ok(()), |method| check_offered(method, name))?;
        match name {
            Notices::NAME => Notices::answer(question, |notice| self.notice(notice)),
            CurvePoints::NAME => CurvePoints::answer(question, |point| self.record(point)),
            Moments::NAME => Moments::answer(question, |request| self.layer_moments(request)),
            Curvatures::NAME => Curvatures::answer(question, |request| self.layer_curvature(request)),
            Weights::NAME => Weights::answer(question, |(layer, roles)| self.some_weights(layer, &roles)),
            TruncatedSvds::NAME => TruncatedSvds::answer(question, |cuts| self.truncated_svds(&cuts)),
            LendTensor::NAME => LendTensor::answer(question, |handle| self.lend(handle)),
            TakeTensor::NAME => TakeTensor::answer(question, |address| {
                let array = self.lent.read(address)?;
                Ok(self.put(array))
            }),
            _ => self.model.answer(name, question),
        }
    }

    fn releaser(&self) -> Rc<dyn ReleaseTensor> {
        Rc::clone(&self.released) as Rc<dyn ReleaseTensor>
    }
}

fn unknown(handle: Handle) -> PluginError {
    PluginError::host(format!("no tensor has the handle {handle}: it was released, or never given out"))
}
