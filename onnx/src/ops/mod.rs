//! One file for each ONNX operator, or family of operators: its declaration, and what makes integers of a node.
//!
//! Made by `cargo test -p zkonnx-onnx write_index -- --ignored` from the files of this folder.

pub(crate) mod absent;
pub(crate) mod accumulators;
pub(crate) mod activation;
pub(crate) mod blocks;
pub(crate) mod border;
pub(crate) mod cast;
pub(crate) mod concat;
pub(crate) mod control;
pub(crate) mod einsum;
pub(crate) mod elementwise;
pub(crate) mod fast_gelu;
pub(crate) mod learning;
pub(crate) mod limits;
pub(crate) mod linear;
pub(crate) mod logic;
pub(crate) mod lookup;
pub(crate) mod masked;
pub(crate) mod matrices;
pub(crate) mod mean_variance;
pub(crate) mod models;
pub(crate) mod movement;
pub(crate) mod normalization;
pub(crate) mod places;
pub(crate) mod pool;
pub(crate) mod quantization;
pub(crate) mod ranking;
pub(crate) mod recurrent;
pub(crate) mod reduction;
pub(crate) mod resize;
pub(crate) mod selection;
pub(crate) mod shapes;
pub(crate) mod softmax;
pub(crate) mod stacked;
pub(crate) mod transposed;
pub(crate) mod trees;

use crate::operator::Operator;

/// The declarations, by file.
pub(crate) const FILES: &[(&str, &[Operator])] = &[
    ("absent", absent::OPERATORS),
    ("accumulators", accumulators::OPERATORS),
    ("activation", activation::OPERATORS),
    ("border", border::OPERATORS),
    ("cast", cast::OPERATORS),
    ("concat", concat::OPERATORS),
    ("control", control::OPERATORS),
    ("einsum", einsum::OPERATORS),
    ("elementwise", elementwise::OPERATORS),
    ("fast_gelu", fast_gelu::OPERATORS),
    ("learning", learning::OPERATORS),
    ("limits", limits::OPERATORS),
    ("linear", linear::OPERATORS),
    ("logic", logic::OPERATORS),
    ("matrices", matrices::OPERATORS),
    ("mean_variance", mean_variance::OPERATORS),
    ("models", models::OPERATORS),
    ("movement", movement::OPERATORS),
    ("normalization", normalization::OPERATORS),
    ("places", places::OPERATORS),
    ("pool", pool::OPERATORS),
    ("quantization", quantization::OPERATORS),
    ("ranking", ranking::OPERATORS),
    ("recurrent", recurrent::OPERATORS),
    ("reduction", reduction::OPERATORS),
    ("resize", resize::OPERATORS),
    ("selection", selection::OPERATORS),
    ("shapes", shapes::OPERATORS),
    ("softmax", softmax::OPERATORS),
    ("transposed", transposed::OPERATORS),
    ("trees", trees::OPERATORS),
];
