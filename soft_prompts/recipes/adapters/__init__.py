"""How were the adapters of the sandbagging game made, and do they do what they are said to? It imports no experiment,
and nothing but calibration and the list of recipes imports it."""
