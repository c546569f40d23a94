-- Sends every radiograph that arrives to the node, as a job: a job that fails is kept, and resubmit.py repeats it.
-- SendToModality() would forget an object whose destination is down.
function OnStoredInstance(instanceId, tags, metadata, origin)
  if tags['Modality'] == 'CR' or tags['Modality'] == 'DX' then
    RestApiPost('/modalities/node/store', DumpJson({Resources = {instanceId}, Asynchronous = true, Permissive = false}, true))
  end
end
