package agent

// Messages of the log of which each line is a change of an update, with its verdict where there is one.
// Whoever thins the log out leaves these alone.
const (
	LogStep    = "step"
	LogGoingOn = "going on"
)
