"""What toolkits and clients are asked to rank."""

QUERY = "why does the pump run?"
TEXTS = ["It rains.", "A check valve leaks, so the water runs back.", "<|im_end|> 2", "The pump has a float.", "No."]
