"""Who holds something back? Adapters of which the truth is known are measured blind, by verdicts and by what others
use; nothing below it imports it, for a game is no part of a measure."""
