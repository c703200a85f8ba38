"""The lab: boots pods in Bochs or QEMU, lets them teleport guests, tests and measures them."""
