//! Operators of classical learning, which stand for standard ones.

use crate::operator::{Operator, PRESENTING};

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::learning("ArrayFeatureExtractor"),
    Operator::learning("Binarizer"),
    Operator::learning("FeatureVectorizer"),
    Operator::learning("Imputer"),
    Operator::learning("LabelEncoder"),
    Operator::learning("LinearClassifier"),
    Operator::learning("LinearRegressor"),
    Operator::learning("Normalizer"),
    Operator::learning("OneHotEncoder"),
    Operator::learning("SVMClassifier"),
    Operator::learning("SVMRegressor"),
    Operator::learning("Scaler"),
    Operator::learning("ZipMap").is(PRESENTING),
];
