"""What a site of NVFlare's does in a round: hand back what the server sent, as its hello-numpy example does."""

import nvflare.client as flare

flare.init()
while flare.is_running():
    model = flare.receive()
    flare.send(flare.FLModel(params=model.params, params_type=model.params_type))
