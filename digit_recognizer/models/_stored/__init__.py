"""Stored nets and weights of unknown origin, checked without Keras and the HDF5 library.

No model is of this folder's name: the registry passes over what begins with an underscore.
"""
