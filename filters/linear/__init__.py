"""Linear text models of the fastText kind: the file they come in, their tables, the kernel that scores."""
