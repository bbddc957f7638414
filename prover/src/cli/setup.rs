//! `zkonnx setup`: the keys of a model, on disk.

use serde_json::json;

use super::Session;
use super::answer::Answer;
use super::args::SetupArgs;
use super::inspect::manifest_json;
use super::style::{bytes, seconds};
use super::values::{load_model_to_plan, tail_text};
use crate::error::Error;
use crate::keys::{KEY_FILES, Keys};
use crate::measure::peak_rss_bytes;
use crate::places;

pub(super) fn setup(args: &SetupArgs, session: &Session) -> Result<Answer, Error> {
    places::check_folder(&args.output, &KEY_FILES, &[&args.model])?;
    session.progress.step("importing");
    let model = load_model_to_plan(&args.model, &args.dims)?;
    let visibility = args.visibility.visibility();
    let mut keys = Keys::generate(
        model.program.clone(),
        visibility,
        &args.plan.options(),
        &session.cache,
        &session.progress,
    )?;
    keys.not_proved = model.tail().to_vec();
    let manifest = keys.store(&args.output, &session.progress)?;
    let mut text = format!(
        "{} {}\nprogram        {}\nverifying key  {} ({})\nproving key    {}\nrows           2^{}, {} input, {} CPU\n",
        session.style.good("keys in"),
        args.output.display(),
        manifest.program_id,
        manifest.vk_id,
        bytes(manifest.vk_bytes),
        bytes(manifest.pk_bytes),
        manifest.k,
        manifest.input,
        seconds(keys.keygen_cpu_s),
    );
    text.push_str(&tail_text(&model));
    let mut json = manifest_json(&manifest);
    json["keygen_cpu_s"] = json!(keys.keygen_cpu_s);
    json["peak_rss_bytes"] = json!(peak_rss_bytes());
    json["output"] = json!(args.output.display().to_string());
    Ok(Answer::yes(json, text))
}
