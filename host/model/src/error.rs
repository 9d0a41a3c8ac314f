//! The errors of a model folder, a batch or a slot: one variant for each.

use super::leftovers::DEQUANTISE;
use scaleot_data::BatchError;
use scaleot_store::StoreError;
use scaleot_store::foreign_json::ForeignJsonError;
use scaleot_tensor::TensorError;
use std::path::PathBuf;

/// The result of a model operation.
pub type Result<T> = std::result::Result<T, ModelError>;

/// A refused model folder, or a computation asked for that the model cannot do.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("found {found}, which is of a newer contract than this version computes")]
    UnknownPart { found: String },
    #[error("{path}: found {found}, expected a model folder with config.json and safetensors files")]
    NotAFolder { path: PathBuf, found: String },
    #[error("{path}: found {found}, expected a regular file")]
    FileKind { path: PathBuf, found: &'static str },
    #[error(
        "{path}: a link to {target}, where nothing is: the download is unfinished, or a Hub cache was copied without its blobs; fetch the model again, or copy it with `cp -rL`"
    )]
    DanglingLink { path: PathBuf, target: PathBuf },
    #[error("{path}: a model of the Hub's cache; name its snapshot, such as {snapshot}")]
    HubCache { path: PathBuf, snapshot: PathBuf },
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {found} bytes, expected at most {limit}; this is not a file that Transformers wrote")]
    TooLarge { path: PathBuf, found: u64, limit: u64 },
    #[error("{path}: {problem}")]
    Json { path: PathBuf, problem: ForeignJsonError },
    #[error("{path}: found {found}, expected a JSON object")]
    JsonKind { path: PathBuf, found: &'static str },
    #[error("{path}: `model_type` is {found}, expected one of {known}")]
    UnknownArchitecture { path: PathBuf, found: String, known: String },
    #[error("{path}: `{key}` is {found}, expected {expected}")]
    ConfigKey { path: PathBuf, key: String, found: String, expected: String },
    #[error("{path}: `{key}` is {value}, `{other}` is {other_value}: expected {rule}")]
    ConfigPair { path: PathBuf, key: String, value: usize, other: String, other_value: usize, rule: &'static str },

    #[error("{path}: no weights; expected model.safetensors or model.safetensors.index.json")]
    NoWeights { path: PathBuf },
    #[error(
        "{path}: a pickle, not read, by design (it can run code); convert it to safetensors with Transformers' save_pretrained"
    )]
    OnlyPickle { path: PathBuf },
    #[error(
        "{path}: an adapter of peft, expected a whole model; merge it into its model first, with peft's merge_and_unload and save_pretrained"
    )]
    OnlyAdapter { path: PathBuf },
    #[error(
        "{path}: beside a whole model, into which Transformers would load the adapter; merge it first, or remove the file"
    )]
    AdapterBeside { path: PathBuf },
    #[error(
        "{path}: weights in another layout, expected model.safetensors or model.safetensors.index.json; write them with Transformers' save_pretrained"
    )]
    OtherWeights { path: PathBuf },
    #[error("{path}: `{key}` is {found}, expected {expected}")]
    Index { path: PathBuf, key: String, found: String, expected: &'static str },
    #[error("{path}: tensor `{tensor}` is in `{shard}`, which is missing; copy the shard into the folder")]
    ShardMissing { path: PathBuf, shard: String, tensor: String },
    #[error("{path}: tensor `{tensor}` is in `{shard}`, expected a plain file name ending in .safetensors")]
    ShardName { path: PathBuf, shard: String, tensor: String },
    #[error("tensor `{tensor}` is in {first} and in {second}, expected in one")]
    TensorTwice { tensor: String, first: PathBuf, second: PathBuf },
    #[error("{path}: tensor `{tensor}` is not in this shard, where {index} puts it")]
    TensorElsewhere { path: PathBuf, tensor: String, index: PathBuf },
    #[error("{path}: changed while it was being read; wait until it is written, then try again")]
    Changed { path: PathBuf },

    #[error("{path}: tensor `{tensor}` is missing, expected shape {expected:?}")]
    TensorMissing { path: PathBuf, tensor: String, expected: Vec<i64> },
    #[error(
        "{path}: tensor `{tensor}` is not part of a {family} model with {layers} layers; is config.json of another model?"
    )]
    TensorExtra { path: PathBuf, tensor: String, family: String, layers: usize },
    #[error("{path}: tensor `{tensor}` has shape {found:?}, expected {expected:?}")]
    TensorShape { path: PathBuf, tensor: String, found: Vec<i64>, expected: Vec<i64> },
    #[error("{path}: tensor `{tensor}` has {rows} rows, but `{key}` in config.json is {vocabulary}")]
    VocabularyRows { path: PathBuf, tensor: String, rows: i64, key: String, vocabulary: usize },
    #[error("{path}: tensor `{tensor}` is a part of a quantised weight; {DEQUANTISE}")]
    TensorQuantised { path: PathBuf, tensor: String },
    #[error("{path}: `{key}` is {found}; {DEQUANTISE}")]
    ConfigQuantised { path: PathBuf, key: &'static str, found: String },
    #[error("{path}: tensor `{tensor}` has dtype {found}, expected F32, F16 or BF16; {DEQUANTISE}")]
    TensorInteger { path: PathBuf, tensor: String, found: &'static str },
    #[error("{path}: tensor `{tensor}` has dtype {found}, expected F32, F16 or BF16")]
    TensorDtype { path: PathBuf, tensor: String, found: &'static str },
    #[error("{path}: `{key}` is true, but `{head}` differs from `{embedding}`; remove one, or set the key to false")]
    TiedDiffer { path: PathBuf, key: String, embedding: String, head: String },
    #[error("{path}: tensor `{tensor}` is {found} at index {index}, expected finite values")]
    NotFinite { path: PathBuf, tensor: String, index: u64, found: &'static str },
    #[error("{path}: tensor `{tensor}` is zero at every index from 0 to {last}, expected trained weights")]
    AllZero { path: PathBuf, tensor: String, last: u64 },

    #[error("batch: {what} is {found}, expected {expected}")]
    Batch { what: String, found: String, expected: String },
    #[error(transparent)]
    PackedBatch(#[from] BatchError),
    #[error("layer {layer}: {found}, expected {expected}")]
    Slot { layer: usize, found: String, expected: &'static str },
    #[error("a family file of the program is broken: {message}; this is our bug")]
    FamilyFile { message: String },
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error(transparent)]
    Store(Box<StoreError>),
}

impl ModelError {
    /// A value of the plugin contract that this version does not compute.
    pub fn unknown_part(found: &dyn std::fmt::Debug) -> Self {
        Self::UnknownPart { found: format!("{found:?}") }
    }
}

impl From<StoreError> for ModelError {
    fn from(error: StoreError) -> Self {
        ModelError::Store(Box::new(error))
    }
}
