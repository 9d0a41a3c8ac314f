//! Promises of every compressor: shapes, ranks and energies are recomputed from what it gave.

use crate::array::Array;
use crate::fake_host::FakeHost;
use crate::subject::{Broken, Check, Outcome, Session, Subject, ensure};
use nalgebra::DMatrix;
use scaleot_plugin_api::{
    CompressAnswer, CompressRequest, CompressionReport, Handle, MatrixReport, Method, WeightForm, WeightRole,
};

pub(crate) const CHECKS: &[Check] = &[
    ("gives weights of the same shape, finite", weights),
    ("reports every matrix that it changed, once", reports),
    ("leaves the ranks that it reports", ranks),
    ("hides the energy that it reports", energies),
    ("takes a layer of zeros", zeros),
];

/// The distance that fp32 results may have from the recomputed ones.
const TOLERANCE: f64 = 1e-4;

/// One layer before and after.
struct Compressed {
    original: Vec<(WeightRole, Array)>,
    changed: Vec<(WeightRole, WeightForm<Array>)>,
    report: CompressionReport,
}

fn compress(session: &mut Session, host: &mut FakeHost, layer: usize, scale: f64) -> Result<Compressed, Broken> {
    let outline = host.layer_outline(layer);
    let original = host.weight_values(&outline, scale);
    let question = CompressRequest::new(outline, host.weight_handles(layer, scale));
    let CompressAnswer { changed, report, .. } = session.ask(Method::Compress, &question, host)?;
    let mut take =
        |(role, form): (WeightRole, WeightForm<Handle>)| Ok((role, form.try_map(&mut |handle| host.take(handle))?));
    let changed = changed.into_iter().map(&mut take).collect::<Result<_, Broken>>()?;
    Ok(Compressed { original, changed, report })
}

/// One whole use of the strategy; the text of what it gave.
pub(crate) fn exercise(session: &mut Session, host: &mut FakeHost) -> Result<String, Broken> {
    let layers = 0..host.outline().n_layers();
    let done = layers.map(|layer| {
        let layer = compress(session, host, layer, 1.0)?;
        Ok(format!("{:?} {:?}", layer.changed, layer.report))
    });
    done.collect()
}

impl Compressed {
    fn original(&self, role: WeightRole) -> Result<DMatrix<f64>, Broken> {
        let weight = self.original.iter().find(|(r, _)| *r == role).filter(|_| role.is_matrix());
        let matrix = weight.and_then(|(_, weight)| weight.matrix());
        matrix.ok_or_else(|| format!("{role} is no matrix of the layer").into())
    }

    /// The matrix that runs from now on.
    fn result(&self, role: WeightRole) -> Result<DMatrix<f64>, Broken> {
        let misfit = || Broken::from(format!("the new form of {role} has the shapes {}", self.shapes(role)));
        match self.changed.iter().find(|(r, _)| *r == role) {
            None => self.original(role),
            Some((_, WeightForm::Dense { weight })) => weight.matrix().ok_or_else(misfit),
            Some((_, WeightForm::Factored { left, right })) => match (left.matrix(), right.matrix()) {
                (Some(left), Some(right)) if left.ncols() == right.nrows() => Ok(left * right),
                _ => Err(misfit()),
            },
        }
    }

    fn shapes(&self, role: WeightRole) -> String {
        match self.changed.iter().find(|(r, _)| *r == role) {
            Some((_, WeightForm::Dense { weight })) => format!("{:?}", weight.shape()),
            Some((_, WeightForm::Factored { left, right })) => format!("{:?} and {:?}", left.shape(), right.shape()),
            None => "of the original".into(),
        }
    }

    fn each_matrix(&self, check: impl Fn(&MatrixReport, DMatrix<f64>, DMatrix<f64>) -> Outcome) -> Outcome {
        // Differences and singular values need matrices that fit, and finite ones.
        check_weights(self)?;
        let mut reported = self.report.matrices.iter();
        reported.try_for_each(|matrix| check(matrix, self.original(matrix.role)?, self.result(matrix.role)?))
    }
}

fn on_each_layer(subject: &Subject, check: impl Fn(&Compressed) -> Outcome) -> Outcome {
    subject.on_each_model(|session, host| {
        (0..host.outline().n_layers()).try_for_each(|layer| check(&compress(session, host, layer, 1.0)?))
    })
}

fn weights(subject: &Subject) -> Outcome {
    on_each_layer(subject, check_weights)
}

fn check_weights(layer: &Compressed) -> Outcome {
    for (role, _) in &layer.changed {
        let (original, result) = (layer.original(*role)?, layer.result(*role)?);
        ensure(original.shape() == result.shape(), || {
            format!("{role} is {:?}, its new form {:?}", original.shape(), result.shape())
        })?;
        ensure(result.iter().all(|value| value.is_finite()), || format!("{role} is not finite any more"))?;
    }
    Ok(())
}

fn reports(subject: &Subject) -> Outcome {
    on_each_layer(subject, |layer| {
        let reported = |role| layer.report.matrices.iter().filter(|matrix| matrix.role == role).count();
        let mut roles = layer.changed.iter().map(|(role, _)| *role);
        roles.try_for_each(|role| ensure(reported(role) == 1, || format!("{role}: {} reports", reported(role))))?;
        let mut matrices = layer.report.matrices.iter();
        matrices.try_for_each(|matrix| ensure(reported(matrix.role) == 1, || format!("{} twice", matrix.role)))
    })
}

fn ranks(subject: &Subject) -> Outcome {
    on_each_layer(subject, |layer| {
        layer.each_matrix(|report, original, result| {
            let MatrixReport { role, rank, full_rank, .. } = report;
            let expected = original.nrows().min(original.ncols());
            ensure(*full_rank == expected, || format!("{role}: full rank {full_rank}, expected {expected}"))?;
            ensure((1..=expected).contains(rank), || format!("{role}: rank {rank} of {expected}"))?;
            let values = result.singular_values();
            let found = values.iter().filter(|&&value| value > TOLERANCE * values.max()).count();
            ensure(found <= *rank, || format!("{role}: rank {rank} is reported, {found} is left"))
        })
    })
}

fn energies(subject: &Subject) -> Outcome {
    on_each_layer(subject, check_energies)
}

fn check_energies(layer: &Compressed) -> Outcome {
    layer.each_matrix(|report, original, result| {
        let MatrixReport { role, residual_energy: found, .. } = report;
        ensure((0.0..=1.0).contains(found), || format!("{role}: {found}, expected a share"))?;
        let total = original.norm_squared();
        let expected = if total == 0.0 { 0.0 } else { (original - result).norm_squared() / total };
        ensure((found - expected).abs() <= TOLERANCE, || format!("{role}: {found} is reported, {expected} is hidden"))
    })
}

fn zeros(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| check_energies(&compress(session, host, 0, 0.0)?))
}
