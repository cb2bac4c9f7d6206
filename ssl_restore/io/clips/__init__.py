"""Clips by FFmpeg's libraries (PyAV): reading, colours, encoding, and joining with the sound.

reader     a clip's frames with their time, samples and place upright
samples    how the samples of a frame are stored: sizes, bits, chroma, matrix, range
colour     samples as RGB and back, by the clip's own matrix and range
encoders   which codec, container and samples a result gets
segments   pieces of a result that are whole, so that work can go on after a kill
faults     what FFmpeg raises, as one line
joining    segments, sound, subtitles and what the file says besides as one clip
"""
