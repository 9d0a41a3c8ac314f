//! The tensor operations of the fake host. Factorisations and truncations are done in fp64 by nalgebra, the rest value by value in fp32.

use crate::array::{Array, count, signed};
use crate::random::Stream;
use nalgebra::{DMatrix, DVector, SVD, SymmetricEigen};
use scaleot_plugin_api::{ErrorCode, Handle, OpArguments, PluginError, RankCut, TensorOp, TruncatedSvd, WeightForm};

/// Sweeps after which a factorisation has not converged.
const MAX_SWEEPS: usize = 10_000;

/// Runs an operation.
pub(crate) fn compute(op: TensorOp, inputs: &[&Array], arguments: OpArguments<'_>) -> Result<Vec<Array>, PluginError> {
    let one = match (op, inputs) {
        (TensorOp::Add, [a, b]) => broadcast(op, a, b, |x, y| x + y),
        (TensorOp::Sub, [a, b]) => broadcast(op, a, b, |x, y| x - y),
        (TensorOp::Mul, [a, b]) => broadcast(op, a, b, |x, y| x * y),
        (TensorOp::Div, [a, b]) => broadcast(op, a, b, |x, y| x / y),
        (TensorOp::MatMul, [a, b]) => matmul(a, b),
        (TensorOp::Affine, [a]) => affine(a, arguments.floats),
        (TensorOp::Transpose, [a]) => a.transposed().ok_or_else(|| misfit(op, inputs)),
        (TensorOp::Narrow, [a]) => narrow(a, arguments.ints),
        (TensorOp::Sum, [a]) => reduce(op, a, arguments.ints),
        (TensorOp::Mean, [a]) => reduce(op, a, arguments.ints),
        (TensorOp::Norm, [a]) => {
            let squares = a.values().into_iter().map(|value| f64::from(value).powi(2));
            Array::new(vec![squares.sum::<f64>().sqrt() as f32], &[])
        }
        (TensorOp::Abs, [a]) => each(a, f32::abs),
        (TensorOp::Sqrt, [a]) => each(a, f32::sqrt),
        (TensorOp::Exp, [a]) => each(a, f32::exp),
        (TensorOp::Copy, [a]) => each(a, |value| value),
        (TensorOp::Svd, [a]) => return svd(a),
        (TensorOp::SymmetricEigen, [a]) => return symmetric_eigen(a),
        (TensorOp::Cat, [_, ..]) => cat(inputs, arguments.ints),
        (TensorOp::RandomNormal | TensorOp::RandomUniform, []) => random(op, arguments),
        (TensorOp::Zeros, []) => Array::new(vec![0.0; count(arguments.ints)?], arguments.ints),
        _ => Err(PluginError::host(format!("{op:?} does not take {} tensors", inputs.len()))),
    };
    Ok(vec![one?])
}

fn misfit(op: TensorOp, inputs: &[&Array]) -> PluginError {
    let shapes: Vec<_> = inputs.iter().map(|array| format!("{:?}", array.shape())).collect();
    PluginError::host(format!("{op:?} does not fit {}", shapes.join(" and ")))
}

fn arity(op: TensorOp, expected: &str) -> PluginError {
    PluginError::host(format!("{op:?} needs {expected}"))
}

fn each(a: &Array, f: impl Fn(f32) -> f32) -> Result<Array, PluginError> {
    Array::new(a.values().into_iter().map(f).collect(), a.shape())
}

fn broadcast(op: TensorOp, a: &Array, b: &Array, f: impl Fn(f32, f32) -> f32) -> Result<Array, PluginError> {
    let dims = a.shape().len().max(b.shape().len());
    let size = |array: &Array, dim: usize| {
        let missing = dims - array.shape().len();
        dim.checked_sub(missing).map_or(1, |dim| array.shape()[dim])
    };
    // A size of 1 gives way to the other, also to 0.
    let shape: Vec<i64> = (0..dims).map(|dim| if size(a, dim) == 1 { size(b, dim) } else { size(a, dim) }).collect();
    let (Some(left), Some(right)) = (a.broadcast(&shape), b.broadcast(&shape)) else {
        return Err(misfit(op, &[a, b]));
    };
    count(&shape)?;
    let values = left.values().into_iter().zip(right.values()).map(|(x, y)| f(x, y));
    Array::new(values.collect(), &shape)
}

fn affine(a: &Array, floats: &[f64]) -> Result<Array, PluginError> {
    let [factor, term] = *floats else { return Err(arity(TensorOp::Affine, "a factor and a term")) };
    each(a, |value| value * factor as f32 + term as f32)
}

fn matmul(a: &Array, b: &Array) -> Result<Array, PluginError> {
    match (a.matrix(), b.matrix()) {
        (Some(left), Some(right)) if left.ncols() == right.nrows() => Ok(Array::from_matrix(&(left * right))),
        _ => Err(misfit(TensorOp::MatMul, &[a, b])),
    }
}

fn narrow(a: &Array, ints: &[i64]) -> Result<Array, PluginError> {
    let [dim, start, length] = *ints else {
        return Err(arity(TensorOp::Narrow, "a dimension, a start and a length"));
    };
    a.narrowed(dim, start, length).ok_or_else(|| {
        let shape = a.shape();
        PluginError::host(format!("{length} entries from {start} of dimension {dim} are not in the shape {shape:?}"))
    })
}

fn cat(parts: &[&Array], ints: &[i64]) -> Result<Array, PluginError> {
    let misfit = || misfit(TensorOp::Cat, parts);
    let [dim] = *ints else { return Err(arity(TensorOp::Cat, "a dimension")) };
    let dim = usize::try_from(dim).map_err(|_| misfit())?;
    let mut shape = parts.first().map(|part| part.shape().to_vec()).unwrap_or_default();
    let outer = count(shape.get(..dim).ok_or_else(misfit)?)?;
    *shape.get_mut(dim).ok_or_else(misfit)? = 0;
    for part in parts {
        let mut rest = part.shape().to_vec();
        let length = rest.get(dim).copied().ok_or_else(misfit)?;
        rest[dim] = shape[dim];
        if rest != shape {
            return Err(misfit());
        }
        shape[dim] += length;
    }
    let blocks: Vec<_> = parts.iter().map(|part| part.values()).collect();
    let row = |index: usize| {
        blocks.iter().flat_map(move |values| {
            let width = values.len() / outer.max(1);
            values[index * width..(index + 1) * width].iter().copied()
        })
    };
    Array::new((0..outer).flat_map(row).collect(), &shape)
}

fn reduce(op: TensorOp, a: &Array, ints: &[i64]) -> Result<Array, PluginError> {
    let shape = a.sizes();
    let (outer, size, inner, rest) = match *ints {
        [] => (1, shape.iter().product(), 1, Vec::new()),
        [dim] => {
            let dim = usize::try_from(dim).ok().filter(|&dim| dim < shape.len()).ok_or_else(|| misfit(op, &[a]))?;
            let rest = [&a.shape()[..dim], &a.shape()[dim + 1..]].concat();
            (shape[..dim].iter().product(), shape[dim], shape[dim + 1..].iter().product(), rest)
        }
        _ => return Err(arity(op, "at most one dimension")),
    };
    let values = a.values();
    let divisor = if op == TensorOp::Mean { size as f64 } else { 1.0 };
    let total = |place: usize| {
        let (block, column) = (place / inner, place % inner);
        (0..size).map(|i| f64::from(values[(block * size + i) * inner + column])).sum::<f64>()
    };
    let places: usize = outer * inner;
    Array::new((0..places).map(|place| (total(place) / divisor) as f32).collect(), &rest)
}

fn finite_matrix(op: TensorOp, a: &Array) -> Result<DMatrix<f64>, PluginError> {
    let matrix = a.matrix().ok_or_else(|| misfit(op, &[a]))?;
    if !a.is_finite() {
        return Err(PluginError::new(ErrorCode::Numeric, format!("{op:?} was given a value that is not finite")));
    }
    Ok(matrix)
}

fn not_converged(op: TensorOp, a: &Array) -> PluginError {
    PluginError::new(ErrorCode::Numeric, format!("{op:?} of {:?} did not converge", a.shape()))
}

fn vector(values: &DVector<f64>) -> Result<Array, PluginError> {
    Array::new(values.iter().map(|&value| value as f32).collect(), &[signed(values.len())])
}

fn svd(a: &Array) -> Result<Vec<Array>, PluginError> {
    let matrix = finite_matrix(TensorOp::Svd, a)?;
    let (rows, cols) = matrix.shape();
    if rows == 0 || cols == 0 {
        let empty = |size| Array::new(Vec::new(), &[signed(size), 0]);
        return Ok(vec![empty(rows)?, Array::new(Vec::new(), &[0])?, empty(cols)?]);
    }
    let done = SVD::try_new(matrix, true, true, f64::EPSILON, MAX_SWEEPS);
    let Some(SVD { u: Some(u), v_t: Some(v_t), singular_values }) = done else {
        return Err(not_converged(TensorOp::Svd, a));
    };
    Ok(vec![Array::from_matrix(&u), vector(&singular_values)?, Array::from_matrix(&v_t.transpose())])
}

/// From the whole decomposition; the factor at the shorter side is orthonormal, as the contract says.
pub(crate) fn truncated_svd(cut: &RankCut<Handle>, a: &Array) -> Result<TruncatedSvd<Array>, PluginError> {
    cut.check(&a.sizes())?;
    let named = |error: PluginError| PluginError::new(error.code, format!("{}: {}", cut.name, error.message));
    let matrix = finite_matrix(TensorOp::Svd, a).map_err(named)?;
    let upright = matrix.nrows() > matrix.ncols();
    let done = SVD::try_new(matrix, true, true, f64::EPSILON, MAX_SWEEPS);
    let Some(SVD { u: Some(u), v_t: Some(v_t), singular_values }) = done else {
        return Err(named(not_converged(TensorOp::Svd, a)));
    };
    let (u, v_t) = (u.columns(0, cut.rank), v_t.rows(0, cut.rank));
    let kept = DMatrix::from_diagonal(&singular_values.rows(0, cut.rank).into_owned());
    let (left, right) = if upright { (u * kept, v_t.into_owned()) } else { (u.into_owned(), kept * v_t) };
    let form = if cut.factored {
        WeightForm::Factored { left: Array::from_matrix(&left), right: Array::from_matrix(&right) }
    } else {
        WeightForm::Dense { weight: Array::from_matrix(&(left * right)) }
    };
    Ok(TruncatedSvd::new(form, vector(&singular_values)?))
}

fn symmetric_eigen(a: &Array) -> Result<Vec<Array>, PluginError> {
    let op = TensorOp::SymmetricEigen;
    let matrix = finite_matrix(op, a)?;
    if !matrix.is_square() || matrix.is_empty() {
        return Err(misfit(op, &[a]));
    }
    let done = SymmetricEigen::try_new(matrix, f64::EPSILON, MAX_SWEEPS).ok_or_else(|| not_converged(op, a))?;
    let mut order: Vec<usize> = (0..done.eigenvalues.len()).collect();
    order.sort_by(|&i, &j| done.eigenvalues[i].total_cmp(&done.eigenvalues[j]));
    let values = done.eigenvalues.select_rows(&order);
    Ok(vec![vector(&values)?, Array::from_matrix(&done.eigenvectors.select_columns(&order))])
}

fn random(op: TensorOp, arguments: OpArguments<'_>) -> Result<Array, PluginError> {
    let (Some((&seed, shape)), [scale]) = (arguments.ints.split_first(), arguments.floats) else {
        return Err(arity(op, "a seed and a scale"));
    };
    let mut stream = Stream::new(seed.cast_unsigned());
    let mut draw = || match op {
        TensorOp::RandomNormal => stream.normal() * scale,
        _ => (2.0 * stream.uniform() - 1.0) * scale,
    };
    Array::new((0..count(shape)?).map(|_| draw() as f32).collect(), shape)
}
