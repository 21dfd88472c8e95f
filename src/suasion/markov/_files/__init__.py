"""Files of decision processes, in the formats of model checkers and planners.

Readers parse bytes of unknown origin: whatever is wrong with a file, they raise `FormatError` and nothing else, and
take no more memory than a small multiple of the file (of its decompressed size, which is capped).
"""

from suasion.markov._files._format import FORMATS as FORMATS
from suasion.markov._files._format import Format as Format
from suasion.markov._files._format import read_model as read_model
from suasion.markov._files._format import write_model as write_model
from suasion.markov._files._source import FormatError as FormatError
