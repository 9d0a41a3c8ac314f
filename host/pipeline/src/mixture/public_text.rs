//! The owner's public text, cut into windows.

use scaleot_data::TextWindows;

/// Public text to train on and to be judged on.
pub struct PublicText {
    /// Windows to train on.
    pub train: TextWindows,
    /// Windows that are held out.
    pub held_out: TextWindows,
}
