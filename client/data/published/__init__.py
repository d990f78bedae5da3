"""Words, tables and layouts of published data sets, which several sources share."""
