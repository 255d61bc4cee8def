"""One job by plain Ray Data and by this factory, with the same stub models that write down when
they were called.
"""
