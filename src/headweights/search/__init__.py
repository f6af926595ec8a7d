"""Which of several numbers matter, from few trainings: a screening design, its effects, and what they mean.

`design` says which trainings to run, `effects` what each number did, and `screen` does both for a function that trains. Nothing
here knows what the numbers are or how a training works.
"""

from headweights.search.design import Design as Design
from headweights.search.design import Factor as Factor
from headweights.search.effects import Effect as Effect
from headweights.search.effects import Effects as Effects
from headweights.search.screen import Screening as Screening
from headweights.search.screen import screen as screen
