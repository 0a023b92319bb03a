"""What only a GPU can show: `make gpu`, ten minutes at most. Without CUDA everything but the tests of its own code is skipped.

INNATE_GPU_DEVICE  the device, "cuda:0" where not given. "cpu" runs every line on tiny sizes, to see that it works: speeds and
                   memory are then printed and not judged
INNATE_GPU_TABLE   a file that takes the table as text
INNATE_GPU_WHOLE   1 trains and attacks the whole of `paper-mnist` for the table, instead of a seventh: ten minutes more
"""
