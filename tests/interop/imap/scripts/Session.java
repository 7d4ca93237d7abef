import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.stream.Collectors;
import javax.mail.Flags;
import javax.mail.Folder;
import javax.mail.Message;
import javax.mail.Store;
import javax.mail.UIDFolder;
import javax.mail.internet.MimeMessage;
import javax.mail.search.BodyTerm;
import javax.mail.search.FromStringTerm;
import javax.mail.search.SearchTerm;

/** The session that test_libraries.py describes, by JavaMail as its manual has it. */
public class Session {
    public static void main(String[] given) throws Exception {
        String host = given[0], tls = given[2], user = given[3], password = given[4], letter = given[6];
        String protocol = tls.equals("tls") ? "imaps" : "imap";
        Properties properties = new Properties();
        properties.put("mail.imap.starttls.enable", "true");
        properties.put("mail.imap.starttls.required", "true");
        javax.mail.Session session = javax.mail.Session.getInstance(properties);
        Store store = session.getStore(protocol);
        store.connect(host, Integer.parseInt(given[1]), user, password);

        List<String> folders = new ArrayList<>();
        for (Folder folder : store.getDefaultFolder().list("*")) folders.add(folder.getFullName());
        Folder inbox = store.getFolder("INBOX");
        inbox.open(Folder.READ_WRITE);
        List<String> ids = new ArrayList<>();
        for (Message each : inbox.getMessages()) ids.add(((MimeMessage) each).getMessageID());
        List<Long> from = search(inbox, new FromStringTerm("carl"));
        List<Long> text = search(inbox, new BodyTerm("K\u00f6ln"));
        ByteArrayOutputStream octets = new ByteArrayOutputStream();
        byUid(inbox, 1).writeTo(octets);

        byUid(inbox, 2).setFlag(Flags.Flag.FLAGGED, true);
        inbox.copyMessages(new Message[] {byUid(inbox, 4)}, store.getFolder("Archive"));
        byUid(inbox, 3).setFlag(Flags.Flag.DELETED, true);
        inbox.expunge();
        MimeMessage appended = new MimeMessage(session, new FileInputStream(letter));
        appended.setFlag(Flags.Flag.SEEN, true);
        store.getFolder("Sent").appendMessages(new Message[] {appended});
        inbox.close(false);
        store.close();

        System.out.println("{\"folders\": " + strings(folders) + ", \"ids\": " + strings(ids) + ", \"from\": " + from
            + ", \"text\": " + text + ", \"read\": \"" + sha256(octets.toByteArray()) + "\"}");
    }

    private static Message byUid(Folder folder, long uid) throws Exception {
        return ((UIDFolder) folder).getMessageByUID(uid);
    }

    private static List<Long> search(Folder folder, SearchTerm term) throws Exception {
        List<Long> uids = new ArrayList<>();
        for (Message each : folder.search(term)) uids.add(((UIDFolder) folder).getUID(each));
        return uids;
    }

    private static String strings(List<String> texts) {
        return texts.stream().map(each -> '"' + each + '"').collect(Collectors.toList()).toString();
    }

    private static String sha256(byte[] octets) throws Exception {
        StringBuilder text = new StringBuilder();
        for (byte each : MessageDigest.getInstance("SHA-256").digest(octets)) text.append(String.format("%02x", each));
        return text.toString();
    }
}
