"""The importer's own steps without its children: for many small files of known origin."""

from dataclasses import asdict

from appliance.modelling import load_bundle
from appliance.modelling.bundle_writer import write_bundle
from appliance.modelling.importer.build import build_job, build_request, built_of
from appliance.modelling.importer.examination import examine_job, facts_of
from appliance.modelling.importer.facts import ImportOptions
from appliance.modelling.importer.model_import import Order, contract_of
from appliance.modelling.importer.recognition import recognise
from appliance.modelling.importer.side_files import read_foreign


def facts_here(file, **options):
    """Examine an ONNX file as the importer does."""
    said = ImportOptions(**options)
    request = {"options": asdict(said), "where": file.name}
    told, blobs = examine_job(request, [memoryview(read_foreign(file).onnx_bytes)], lambda _: None)
    return facts_of(told, [bytes(blob) for blob in blobs], said)


def import_here(file, folder, **options):
    """Make the bundle that `appliance model import` makes of a file, in an empty folder."""
    facts, foreign = facts_here(file, **options), read_foreign(file)
    recognised = recognise(facts, file.name)
    claim = recognised.claim
    outputs = claim.outputs or [output.name for output in facts.outputs]
    request = build_request(facts.options, claim.preprocessing, outputs, claim.rows)
    told, blobs = build_job(request, [memoryview(foreign.onnx_bytes)], lambda _: None)
    built = built_of(told, [bytes(blob) for blob in blobs])
    order = Order(file, "imported", folder.parent, facts.options)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(built.onnx_bytes)
    write_bundle(folder, contract_of(order, facts, recognised, built, foreign))
    return load_bundle(folder)
